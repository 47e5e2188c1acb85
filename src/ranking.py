"""Which of two values of a metric is the better one."""

import math

# Parts of Keras' metric names for which less is better; for all others more is.
LOWER_IS_BETTER = (
    "loss",
    "error",
    "crossentropy",
    "divergence",
    "hinge",
    "poisson",
    "mae",
    "mse",
    "mape",
    "msle",
)


def direction(metric: str) -> str:
    """`min` or `max`: which end of `metric` (for example `val/loss`) is the good one."""
    name = metric.rpartition("/")[2]
    return "min" if any(part in name for part in LOWER_IS_BETTER) else "max"


def better(metric: str, value: float, than: float | None, by: float = 0.0) -> bool:
    """Whether `value` beats `than` by more than `by`; anything beats None, a NaN beats nothing."""
    if math.isnan(value):
        return False
    if than is None:
        return True
    return value < than - by if direction(metric) == "min" else value > than + by

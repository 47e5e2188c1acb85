"""Linear warm-up (Goyal et al., "Accurate, Large Minibatch SGD", 2017), then cosine annealing."""

from typing import Annotated

import numpy as np
from pydantic import Field

from src.errors import UserError
from src.schedules import cosine


def factor(
    update: np.ndarray,
    *,
    total_updates: int,
    warmup_fraction: Annotated[float, Field(ge=0, le=1)],
    warmup_updates: Annotated[int, Field(ge=0)] | None,
    final_factor: Annotated[float, Field(ge=0, le=1)],
) -> np.ndarray:
    """Rise to 1 in equal steps over W updates, then fall to `final_factor` along half a cosine.

        update <  W:  (update + 1) / W
        update >= W:  cosine over the total_updates - W that are left

    The first update already moves the weights, by 1 / W of the rate.

    Args:
        update: int64, updates done before.
        total_updates: updates of the whole run.
        warmup_fraction: W as a share of `total_updates`, to the nearest update.
        warmup_updates: W itself; when given, `warmup_fraction` is without effect.
        final_factor: share of the learning rate left at the end.

    Returns:
        float64 of the shape of `update`.

    Raises:
        UserError: when the warm-up is longer than the run.
    """
    warmup = warmup_updates
    if warmup is None:
        warmup = int(total_updates * warmup_fraction + 0.5)
    if warmup > total_updates:
        raise UserError(
            f"schedule.warmup_updates={warmup}: the run has only {total_updates} updates; give "
            "fewer, or train for more epochs"
        )
    update = np.asarray(update, np.int64)
    rise = (update + 1) / max(1, warmup)
    fall = cosine.factor(
        update - warmup, total_updates=total_updates - warmup, final_factor=final_factor
    )
    return np.where(update < warmup, rise, fall)

"""The configured schedule, as factors of the learning rate for a whole training."""

import numpy as np

from src.errors import UserError
from src.groups import Group
from src.targets import call, locate


def learning_rate_factors(schedule: Group, updates: int) -> np.ndarray:
    """What the schedule multiplies the learning rate by at each update, `(updates,)` float64.

    Raises:
        UserError: a key of the schedule is wrong, or a factor is negative or not finite.
    """
    function = locate(schedule.target, "schedule._target_")
    factors = call(
        function,
        schedule.arguments,
        key="schedule",
        offered={"update": np.arange(updates), "total_updates": updates},
    )
    factors = np.broadcast_to(np.asarray(factors, np.float64), (updates,))
    if not np.isfinite(factors).all() or (factors < 0).any():
        raise UserError("schedule: its factors must be finite and not negative")
    return factors

"""A constant rate on each stretch of the run (the steps of He et al. 2016 at 1/2 and 3/4)."""

from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field

from src.errors import UserError


def factor(
    update: np.ndarray,
    *,
    total_updates: int,
    boundaries: list[Annotated[float, Field(gt=0, lt=1)]],
    values: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]],
) -> np.ndarray:
    """`values[0]` up to the first boundary, `values[1]` from there to the second, and so on.

    Args:
        update: int64, updates done before.
        total_updates: updates of the whole run.
        boundaries: ascending shares of `total_updates`; the first update at or beyond one has the
            next value.
        values: one more than `boundaries`.

    Returns:
        float64 of the shape of `update`.

    Raises:
        UserError: when boundaries don't ascend, or there are not as many values as stretches.
    """
    if len(values) != len(boundaries) + 1:
        raise UserError(
            f"schedule.values={values}: {len(boundaries)} boundaries make {len(boundaries) + 1} "
            f"stretches, and there are {len(values)} values; give one for each stretch"
        )
    if any(later <= earlier for earlier, later in pairwise(boundaries)):
        raise UserError(f"schedule.boundaries={boundaries}: each must exceed the one before")
    progress = np.asarray(update, np.float64) / max(1, total_updates)
    stretch = np.searchsorted(np.asarray(boundaries, np.float64), progress, side="right")
    return np.asarray(values, np.float64)[stretch]

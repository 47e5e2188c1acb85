"""Exponential decay: the rate shrinks by the same share over equal spans."""

from typing import Annotated

import numpy as np
from pydantic import Field


def factor(
    update: np.ndarray,
    *,
    total_updates: int,
    decay_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    decay_updates: Annotated[int, Field(gt=0)] | None,
    staircase: bool,
) -> np.ndarray:
    """Multiply by `decay_rate` every `decay_updates` updates.

        factor = decay_rate ** (update / decay_updates)

    Args:
        update: int64, updates done before.
        total_updates: updates of the whole run.
        decay_rate: what is left after a span.
        decay_updates: a span's length; None for the whole run.
        staircase: in steps at the end of each span, not continuously.

    Returns:
        float64 of the shape of `update`.
    """
    span = max(1, total_updates) if decay_updates is None else decay_updates
    spans = np.asarray(update, np.float64) / span
    return np.power(np.float64(decay_rate), np.floor(spans) if staircase else spans)

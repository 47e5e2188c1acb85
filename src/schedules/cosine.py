"""Cosine annealing without restarts (Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5)."""

from typing import Annotated

import numpy as np
from pydantic import Field


def factor(
    update: np.ndarray, *, total_updates: int, final_factor: Annotated[float, Field(ge=0, le=1)]
) -> np.ndarray:
    """Fall from 1 to `final_factor` along half a cosine.

        factor = final + (1 - final) * (1 + cos(pi * update / total_updates)) / 2

    Args:
        update: int64, updates done before. The last update of a run still has a rate slightly above
            the final one, which is reached when all are done.
        total_updates: updates of the whole run.
        final_factor: share of the learning rate left at the end.

    Returns:
        float64 of the shape of `update`.
    """
    progress = np.clip(np.asarray(update, np.float64) / max(1, total_updates), 0.0, 1.0)
    return final_factor + (1 - final_factor) * (1 + np.cos(np.pi * progress)) / 2

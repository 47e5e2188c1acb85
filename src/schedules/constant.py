"""The same learning rate all through."""

import numpy as np


def factor(update: np.ndarray, *, total_updates: int) -> np.ndarray:
    """Always 1.

    Args:
        update: int64, updates done before.
        total_updates: updates of the whole run; without effect.

    Returns:
        float64 of the shape of `update`.
    """
    return np.ones(np.shape(update), np.float64)

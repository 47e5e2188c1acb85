"""Weights of classes, so that rare ones count as much as frequent ones."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from src.data.dataset import Dataset
from src.errors import UserError

KEY = "loss.class_weights"


def class_weights(wanted: Literal["balanced"] | Sequence[float], dataset: Dataset) -> list[float]:
    """One weight for each class.

    `balanced`: rows / (classes * rows of the class), over the training rows, as scikit-learn has it
    (King & Zeng 2001): each class has the same sum of weights, and a row's mean weight is 1. A row
    with soft labels counts for each class as much as they say.

    Raises:
        UserError: the labels are no classes, a weight is missing, or a class has no row.
    """
    if dataset.labels == "real":
        raise UserError(f"{KEY}: {dataset.name} has real-valued labels, no classes; leave it out")
    if wanted != "balanced":
        if len(wanted) != dataset.num_classes:
            raise UserError(
                f"{KEY}: {len(wanted)} weights for the {dataset.num_classes} classes of "
                f"{dataset.name}; give one for each"
            )
        return [float(weight) for weight in wanted]
    y = np.asarray(dataset.train.y)
    if dataset.labels == "integer":
        counts = np.bincount(y.ravel(), minlength=dataset.num_classes).astype(np.float64)
    else:
        counts = y.sum(axis=0, dtype=np.float64)
    if absent := [number for number, count in enumerate(counts) if count <= 0]:
        raise UserError(
            f"{KEY}=balanced: no training row of {dataset.name} is of class {absent[0]}; give the "
            "weights as a list"
        )
    return [float(weight) for weight in counts.sum() / (len(counts) * counts)]

"""Breast cancer Wisconsin (diagnostic): 569 tumours, 30 measurements each (Street et al. 1993)."""

from pathlib import Path

import numpy as np

from src.data import scikit_learn
from src.data.source import Arrays, Source


def load() -> Source:
    """Read the table from scikit-learn's package.

    Returns:
        x float64 (569, 30), y int64 (569,), 0 malignant (212 rows) and 1 benign; no splits.

    Raises:
        UserError: when scikit-learn is missing or lays out its data in another way.
    """
    return Source(
        name="breast_cancer",
        train=scikit_learn.read("breast_cancer", "breast_cancer.csv", _read),
        val=None,
        test=None,
        labels="integer",
        num_classes=2,
        class_names=("malignant", "benign"),
        source="scikit-learn breast_cancer",
    )


def _read(path: Path) -> Arrays:
    table = np.loadtxt(path, delimiter=",", skiprows=1)  # (569, 30 measurements + diagnosis)
    return table[:, :30].copy(), table[:, 30].astype(np.int64)

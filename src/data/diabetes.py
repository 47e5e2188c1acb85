"""Diabetes: ten measurements of 442 patients, and the disease a year later (Efron et al. 2004)."""

import numpy as np

from src.data import scikit_learn
from src.data.source import Source


def load() -> Source:
    """Read the tables from scikit-learn's package.

    Returns:
        x float64 (442, 10) as measured, y float64 (442,), from 25 to 346; no splits.

    Raises:
        UserError: when scikit-learn is missing or lays out its data in another way.
    """
    measurements = scikit_learn.read("diabetes", "diabetes_data_raw.csv.gz", np.loadtxt)
    progression = scikit_learn.read("diabetes", "diabetes_target.csv.gz", np.loadtxt)
    return Source(
        name="diabetes",
        train=(measurements, progression),
        val=None,
        test=None,
        labels="real",
        num_classes=None,
        class_names=(),
        source="scikit-learn diabetes",
    )

"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 pixels (Alpaydin & Kaynak 1998)."""

import gzip
from pathlib import Path

import numpy as np

from src.data import scikit_learn
from src.data.source import Arrays, Source


def load() -> Source:
    """Read the digits from scikit-learn's package.

    Returns:
        x uint8 (1797, 8, 8, 1) with values 0..16, y int64 (1797,); no splits.

    Raises:
        UserError: when scikit-learn is missing or lays out its data in another way.
    """
    return Source(
        name="digits",
        train=scikit_learn.read("digits", "digits.csv.gz", _read),
        val=None,
        test=None,
        labels="integer",
        num_classes=10,
        class_names=tuple("0123456789"),
        source="scikit-learn digits",
    )


def _read(path: Path) -> Arrays:
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)  # (1797, 64 pixels + label)
    return table[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1), table[:, 64].copy()

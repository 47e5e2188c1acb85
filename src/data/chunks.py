"""Walking over large arrays in pieces that stay in the processor's cache."""

from collections.abc import Iterator

import numpy as np

# 2**18 float64 values are 2 MB. Whole-array temporaries of Fashion-MNIST (376 MB) cost ten times
# the arithmetic done on them, since every fresh page must be zeroed by the kernel first.
ELEMENTS = 2**18


def row_chunks(array: np.ndarray, rows: int | None = None) -> Iterator[slice]:
    """Slices that cover the first axis (or its first `rows`), each about `ELEMENTS` values long."""
    total = len(array) if rows is None else rows
    width = max(1, array.size // max(1, len(array)))
    step = max(1, ELEMENTS // width)
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))

"""Walking over large arrays in pieces that stay in the processor's cache."""

import mmap
from collections.abc import Iterator

import numpy as np

from src.data.row_reader import RowReader

# 2**18 float64 values are 2 MB. Whole-array temporaries of Fashion-MNIST (376 MB) cost ten times
# the arithmetic done on them, since every fresh page must be zeroed by the kernel first.
ELEMENTS = 2**18


def row_chunks(array: np.ndarray | RowReader, rows: int | None = None) -> Iterator[slice]:
    """Slices that cover the first axis (or its first `rows`), each about `ELEMENTS` values long."""
    total = len(array) if rows is None else rows
    width = max(1, array.size // max(1, len(array)))
    step = max(1, ELEMENTS // width)
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))
        forget(array)


def forget(array: np.ndarray | RowReader) -> None:
    """Let go of the pages that a read-only mapped array has brought into this process.

    They stay in the system's cache, but no longer count as memory of the process, which would
    otherwise grow by the whole file.
    """
    mapped: mmap.mmap | None = getattr(array, "_mmap", None)
    if isinstance(array, np.ndarray) and mapped is not None and not array.flags.writeable:
        mapped.madvise(mmap.MADV_DONTNEED)

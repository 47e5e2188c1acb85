"""Validation and test rows for sources that bring none: seeded, and stratified by class."""

import numpy as np

from src.errors import UserError


def split(
    classes: np.ndarray, *, seed: int, validation_fraction: float, test_fraction: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide rows into training, validation and test rows.

    Each class is divided in proportion, to the nearest row. A class too small for that stays in
    training as long as larger ones can stand in. The result depends on the arguments alone.

    Args:
        classes: int (rows,), the stratum of each row; all zeros for a plain random split.
        seed: key of the random generator.
        validation_fraction: of all rows, from 0 (no such rows) to below 1.
        test_fraction: likewise.

    Returns:
        Row numbers for training, validation and test, each ascending.

    Raises:
        UserError: when a split with a fraction above 0, or training, would get no row.
    """
    rows = len(classes)
    if validation_fraction + test_fraction >= 1:
        raise UserError(
            f"data.validation_fraction={validation_fraction} and "
            f"data.test_fraction={test_fraction} leave no rows to train on; "
            "their sum must be below 1"
        )
    val_rows, test_rows = _size(rows, validation_fraction), _size(rows, test_fraction)
    if val_rows + test_rows >= rows:
        wanted = ["training"] + ["validation"] * (val_rows > 0) + ["test"] * (test_rows > 0)
        mend = "data.test_fraction=0" if rows > 1 and test_rows else "more rows"
        raise UserError(
            f"data: {rows} row{'s' * (rows > 1)} can't be divided into {', '.join(wanted)} rows "
            f"by data.validation_fraction={validation_fraction} and "
            f"data.test_fraction={test_fraction}; try {mend}"
        )
    _, strata, counts = np.unique(classes, return_inverse=True, return_counts=True)
    test_counts = _allot(counts, test_rows)
    val_counts = _allot(counts - test_counts, val_rows)

    # Sorted by random bits, since NumPy promises these for good, and not the shuffles made of them.
    draws = np.random.Philox(key=seed).random_raw(rows)
    order = np.lexsort((draws, strata))  # by class, shuffled within it
    stratum = strata[order]
    rank = np.arange(rows) - (np.cumsum(counts) - counts)[stratum]
    in_test = rank < test_counts[stratum]
    in_val = ~in_test & (rank < (test_counts + val_counts)[stratum])
    # Ascending row numbers: gathering in memory order is faster, and epochs shuffle anyway.
    return np.sort(order[~in_test & ~in_val]), np.sort(order[in_val]), np.sort(order[in_test])


def _size(rows: int, fraction: float) -> int:
    return max(1, int(rows * fraction + 0.5)) if fraction > 0 else 0


def _allot(counts: np.ndarray, size: int) -> np.ndarray:
    """Divide `size` rows over classes in proportion to `counts`, by the largest remainders."""
    quota = counts * size / counts.sum()
    taken = np.floor(quota).astype(np.int64)
    # First without the last row of each class, so that training meets it; then, if need be, with.
    for available in (counts - 1, counts):
        by_remainder = np.argsort(taken - quota, kind="stable")
        open_classes = by_remainder[(taken < available)[by_remainder]]
        taken[open_classes[: size - taken.sum()]] += 1
        room = available - taken
        missing = min(size - taken.sum(), room.sum())
        if missing > 0:  # many classes of one row: larger ones stand in
            taken += room * missing // room.sum()
            rest = missing - (room * missing // room.sum()).sum()
            taken[np.flatnonzero(taken < available)[:rest]] += 1
    return taken

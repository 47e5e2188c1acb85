"""What every source must satisfy, checked before anything is computed from it."""

import numpy as np

from src.data.chunks import row_chunks
from src.data.source import Source
from src.errors import UserError

# Labels that are numbers out of a larger scheme (postcodes, ids) would make a model of that width.
SPARSE_LABELS = 1000


def check(source: Source) -> None:
    """Check shapes, types and values of all arrays.

    Raises:
        UserError: naming the source, the array and the first thing that is wrong.
    """
    for split, (x, y) in source.splits().items():
        for name, array in (("x", x), ("y", y)):
            # NaN is a missing value in a table's raw numbers, which were checked as they were made.
            finite = source.layout is None or name == "y"
            check_array(array, f"{source.source}: {name} of {split}", finite=finite)
        if x.ndim < 2:
            raise UserError(
                f"{source.source}: x of {split} has shape {x.shape}; it needs a row for each "
                "sample and at least one axis of features: x.reshape(-1, 1) makes one"
            )
        if len(x) != len(y):
            raise UserError(
                f"{source.source}: {split} has {len(x)} rows of x and {len(y)} of y; "
                "each row of x needs one label"
            )
        if source.vocabulary is not None:
            check_tokens(x, source.vocabulary, f"{source.source}: x of {split}")
        _check_labels(source, y, f"{source.source}: y of {split}")
        _check_same_shape(source, split)


def check_array(array: np.ndarray, where: str, *, finite: bool = True) -> None:
    """Check that an array holds (finite) numbers, a row or more; UserError opens with `where`."""
    if not isinstance(array, np.ndarray):
        raise UserError(f"{where} is of type {type(array).__name__}; allowed are NumPy arrays")
    if array.ndim == 0:
        raise UserError(f"{where} is a single value; allowed are arrays with a row for each sample")
    if array.size == 0:
        raise UserError(f"{where} has shape {array.shape} and so no values; give at least one row")
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"{where} is of type {array.dtype}; allowed are booleans, integers and floats"
        )
    if array.dtype.kind == "f" and finite:
        for rows in row_chunks(array):
            sound = np.isfinite(array[rows])
            if not sound.all():
                bad = np.argwhere(~sound)[0]
                index = (rows.start + int(bad[0]), *(int(i) for i in bad[1:]))
                raise UserError(
                    f"{where} holds {array[index]} at index {list(index)}; "
                    "remove or replace values that are not finite"
                )


def _check_labels(source: Source, y: np.ndarray, where: str) -> None:
    if source.labels == "integer":
        sequences = y.ndim == 2 and y.shape[1:] == source.train[0].shape[1:2] != (1,)
        if not (y.ndim == 1 or sequences) or y.dtype.kind not in "iu":
            raise UserError(
                f"{where} has shape {y.shape} and type {y.dtype}; integer labels are integers "
                "of shape (rows,), or (rows, length) for x of (rows, length, ...)"
            )
        if y.min() < 0:
            raise UserError(f"{where} holds the label {y.min()}; classes are numbered from 0")
        if source.num_classes is not None and y.max() >= source.num_classes:
            raise UserError(
                f"{where} holds the label {y.max()}, but data.num_classes={source.num_classes} "
                f"allows 0 to {source.num_classes - 1}; correct one of them"
            )
    elif source.labels in ("one_hot", "soft"):
        if y.ndim != 2 or y.shape[1] < 2:
            raise UserError(
                f"{where} has shape {y.shape}; {source.labels} labels are of shape (rows, classes)"
            )
        if source.num_classes is not None and y.shape[1] != source.num_classes:
            raise UserError(
                f"{where} has {y.shape[1]} columns, but data.num_classes={source.num_classes}; "
                "correct one of them"
            )
        if y.min() < 0:
            raise UserError(f"{where} holds {y.min()}; probabilities of classes are not negative")
        if source.labels == "one_hot" and not is_one_hot(y):
            raise UserError(f"{where} is not one-hot; each row needs a single 1 among zeros")
    elif y.ndim > 2:
        raise UserError(f"{where} has shape {y.shape}; real labels are (rows,) or (rows, outputs)")


def check_tokens(x: np.ndarray, vocabulary: int, where: str) -> None:
    """See that x holds numbers of tokens.

    Raises:
        UserError: naming `where` and the first value that is none.
    """
    if x.dtype.kind not in "iu":
        raise UserError(f"{where} is of type {x.dtype}; tokens are integers")
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= vocabulary:
        raise UserError(
            f"{where} holds the token {low if low < 0 else high}; a vocabulary of {vocabulary} "
            f"allows 0 to {vocabulary - 1}"
        )


def _check_same_shape(source: Source, split: str) -> None:
    expected, found = source.train, source.splits()[split]
    for name, ours, theirs in zip("xy", expected, found, strict=True):
        if ours.shape[1:] != theirs.shape[1:]:
            raise UserError(
                f"{source.source}: a row of {name} has shape {theirs.shape[1:]} in {split} and "
                f"{ours.shape[1:]} in train; they must be equal"
            )


def is_one_hot(y: np.ndarray) -> bool:
    """Whether each row of y (rows, classes) is a single 1 among zeros."""
    return bool(((y == 0) | (y == 1)).all() and (np.count_nonzero(y, axis=1) == 1).all())


def count_classes(source: Source) -> int:
    """The width of the model's output: the number of classes, or of real values predicted.

    Raises:
        UserError: when the labels don't look like numbered classes.
    """
    ys = [y for _, y in source.splits().values()]
    if source.labels != "integer":
        return ys[0].shape[1] if ys[0].ndim == 2 else 1
    if source.num_classes is not None:
        return source.num_classes
    largest, rows = max(int(y.max()) for y in ys), sum(len(y) for y in ys)
    if largest == 0:
        raise UserError(
            f"{source.source}: all labels are 0, and there is nothing to learn from one class; "
            "if there are more, say how many: data.num_classes=2"
        )
    if largest >= max(SPARSE_LABELS, rows):
        raise UserError(
            f"{source.source}: the largest of {rows} labels is {largest}; number the classes "
            "from 0, or say how many there are with data.num_classes"
        )
    return largest + 1

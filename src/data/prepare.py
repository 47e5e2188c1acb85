"""From a source's raw arrays to the data set of a run: checked, digested, split, scaled."""

import hashlib

import numpy as np

from src.data.check import check, count_classes
from src.data.chunks import row_chunks
from src.data.dataset import Dataset, Split
from src.data.labels import Wanted, convert, resulting_kind
from src.data.normalise import Normalisation, apply, fit
from src.data.source import Source
from src.data.split import split
from src.errors import UserError


def prepare(
    source: Source,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    normalisation: Normalisation,
    labels: Wanted,
) -> Dataset:
    """Make the data set of a run.

    A split that the source doesn't bring is taken out of the training rows by its fraction; for one
    that it does bring, the fraction is without effect. The scaling is fitted on the rows that are
    left for training.

    Raises:
        UserError: naming the source or the key, when the arrays or the arguments don't do.
    """
    check(source)
    kind = resulting_kind(source.labels, labels, source.source)
    num_classes = count_classes(source)
    x, y = source.train
    rows = _rows(source, seed, validation_fraction, test_fraction)
    scaling = fit(x, rows["train"], normalisation)
    own = {name: arrays for name, arrays in source.splits().items() if name != "train"}
    splits = {}
    for name, chosen in rows.items():
        splits[name] = (x, y[chosen], chosen)
    for name, (own_x, own_y) in own.items():
        splits[name] = (own_x, own_y, np.arange(len(own_x)))
    made = {
        name: Split(apply(xs, chosen, scaling), convert(ys, source.labels, kind, num_classes))
        for name, (xs, ys, chosen) in splits.items()
    }
    names = source.class_names or tuple(str(number) for number in range(num_classes))
    return Dataset(
        name=source.name,
        train=made["train"],
        val=made["val"],
        test=made.get("test"),
        num_classes=num_classes,
        labels=kind,
        class_names=() if kind == "real" else names,
        source=source.source,
        digest=digest(source),
    )


def digest(source: Source) -> str:
    """sha256 in hex over the source's arrays, with the name, dtype and shape of each."""
    result = hashlib.sha256()
    for split_name, arrays in source.splits().items():
        for name, array in zip("xy", arrays, strict=True):
            result.update(f"{split_name}/{name} {array.dtype.str} {array.shape}\n".encode())
            for rows in row_chunks(array):
                result.update(np.ascontiguousarray(array[rows]).data)
    return result.hexdigest()


def _rows(
    source: Source, seed: int, validation_fraction: float, test_fraction: float
) -> dict[str, np.ndarray]:
    """Which rows of the source's `train` go into which split."""
    _, y = source.train
    if source.val is not None:
        validation_fraction = 0.0
    elif validation_fraction == 0:
        raise UserError(
            f"data.validation_fraction=0: {source.source} brings no validation rows of its own; "
            "give a fraction above 0"
        )
    if source.test is not None:
        test_fraction = 0.0
    if validation_fraction == 0 and test_fraction == 0:
        return {"train": np.arange(len(y))}
    if source.labels == "integer":
        classes = y
    elif source.labels == "one_hot":
        classes = y.argmax(axis=1)
    else:
        classes = np.zeros(len(y), np.int64)
    train, val, test = split(
        classes, seed=seed, validation_fraction=validation_fraction, test_fraction=test_fraction
    )
    named = {"train": train, "val": val, "test": test}
    return {name: chosen for name, chosen in named.items() if len(chosen)}

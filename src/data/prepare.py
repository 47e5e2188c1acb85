"""From a source's raw arrays to the data set of a run: checked, digested, split, scaled."""

import hashlib
from typing import Any

import numpy as np

from src.data.check import check, count_classes
from src.data.chunks import row_chunks
from src.data.dataset import Dataset, Split
from src.data.features import fit as fit_features
from src.data.inputs import Inputs
from src.data.labels import Wanted, convert, resulting_kind
from src.data.normalise import IDENTITY, Normalisation, apply, fit
from src.data.source import Source
from src.data.split import split
from src.data.stored import StoredRows, streams
from src.errors import UserError

EXAMPLES = 5  # rows that a saved model brings along


def prepare(
    source: Source,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    normalisation: Normalisation,
    labels: Wanted,
    inputs: Inputs | None = None,
    room: int | None = None,
) -> Dataset:
    """Make the data set of a run.

    A split that the source doesn't bring is taken out of the training rows by its fraction; for one
    that it does bring, the fraction is without effect. The scaling is fitted on the rows that are
    left for training, unless `inputs` brings that of a run that is scored on this data. With little
    `room`, of free bytes, rows that can be streamed are.

    Raises:
        UserError: naming the source or the key, when the arrays or the arguments don't do.
    """
    check(source)
    if inputs is not None:
        source = inputs.fitting(source)
    kind = resulting_kind(source.labels, labels, source.source)
    num_classes = count_classes(source)
    names = source.class_names or tuple(str(number) for number in range(num_classes))
    if len(names) != num_classes:
        raise UserError(
            f"{source.source}: {len(names)} class names for {num_classes} classes; give one each"
        )
    if source.vocabulary is not None and normalisation != "none":
        raise UserError(
            f"data.normalisation={normalisation}: the inputs of {source.source} are tokens, which "
            "can't be scaled; use data.normalisation=none"
        )
    if source.train[1].ndim == 2 and source.labels == "integer" != kind:
        raise UserError(
            f"data.labels={labels}: {source.source} has a label for each position of a row, and "
            "those stay integers; use data.labels=integer"
        )
    rows = _rows(source, seed, validation_fraction, test_fraction)
    features, scaling = inputs.features if inputs else None, inputs.scaling if inputs else IDENTITY
    if inputs is None and source.layout is not None:
        features = fit_features(source.layout, source.train[0][rows["train"]], normalisation)
    elif inputs is None:
        scaling = fit(source.train[0], rows["train"], normalisation)
    xs = [x for x, _ in source.splits().values()]
    streamed = streams(source.streaming, xs, source.source, room)
    scaled: Any
    made = {}
    for name, chosen in rows.items():
        x, y = source.splits().get(name, source.train)
        labels_made = convert(y[chosen], source.labels, kind, num_classes)
        if features is not None and source.layout is not None:
            scaled = features.apply(x[chosen], source.layout)
        elif source.vocabulary is not None:
            scaled = x[chosen].astype(np.int32)
        elif streamed:
            scaled = StoredRows(x, chosen, scaling)
        else:
            scaled = apply(x, chosen, scaling)
        made[name] = Split(scaled, labels_made)
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
        vocabulary=source.vocabulary,
        features=features,
        scaling=scaling,
        examples=_examples(source, rows["val"]) if features is None else made["val"].x[:EXAMPLES],
    )


def _examples(source: Source, chosen: np.ndarray) -> np.ndarray:
    """The first validation rows, unscaled; what float32 can't hold was refused with the scaled."""
    x, _ = source.splits().get("val", source.train)
    return x[chosen[:EXAMPLES]].astype(np.float32 if source.vocabulary is None else np.int32)


def digest(source: Source) -> str:
    """sha256 in hex over the source's arrays, their names, dtypes and shapes, and its columns."""
    result = hashlib.sha256()
    for split_name, arrays in source.splits().items():
        for name, array in zip("xy", arrays, strict=True):
            result.update(f"{split_name}/{name} {array.dtype.str} {array.shape}\n".encode())
            for rows in row_chunks(array):
                result.update(np.ascontiguousarray(array[rows]).data)
    if source.layout is not None:  # the arrays hold categories by number
        result.update(repr(source.layout.columns).encode())
    return result.hexdigest()


def _rows(
    source: Source, seed: int, validation_fraction: float, test_fraction: float
) -> dict[str, np.ndarray]:
    """The rows of each split: of the source's own, or else of its `train`."""
    _, y = source.train
    rows = {name: np.arange(len(own_x)) for name, (own_x, _) in source.splits().items()}
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
        return rows
    if source.labels == "integer" and y.ndim == 1:
        classes = y
    elif source.labels == "one_hot":
        classes = y.argmax(axis=1)
    else:
        classes = np.zeros(len(y), np.int64)
    train, val, test = split(
        classes, seed=seed, validation_fraction=validation_fraction, test_fraction=test_fraction
    )
    cut = {"train": train, "val": val, "test": test}
    return rows | {name: chosen for name, chosen in cut.items() if len(chosen)}

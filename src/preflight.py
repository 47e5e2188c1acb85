"""Checks between the configuration and the loaded data, before TensorFlow is imported."""

import tempfile
from pathlib import Path

from src.config import Config
from src.data.balance import class_weights
from src.data.dataset import Dataset
from src.errors import UserError

# What the losses that come with Keras ask of the labels.
WANTS_INTEGERS = ("SparseCategoricalCrossentropy",)
WANTS_CLASSES = ("CategoricalCrossentropy", "CategoricalFocalCrossentropy", "KLDivergence")
REGRESSION = "use task=regression, or loss=mean_squared_error"
WANTS_NUMBERS = ("MeanSquaredError", "Huber", "MeanAbsoluteError", "LogCosh")


def check_labels(config: Config, dataset: Dataset) -> None:
    """Whether the loss and the metrics can be computed from the data set's labels.

    Raises:
        UserError: naming the key that does not fit, and both ways to mend it.
    """
    loss = config.loss.target.rpartition(".")[2]
    labels, name = dataset.labels, dataset.name
    if loss in WANTS_INTEGERS and labels != "integer":
        mend = REGRESSION if labels == "real" else "use loss=categorical_crossentropy"
        raise UserError(f"loss: {loss} needs integer labels, {name} has {labels} ones; {mend}")
    if loss in WANTS_CLASSES and labels not in ("one_hot", "soft"):
        if labels == "real":
            mend = REGRESSION
        else:
            mend = "add data.labels=one_hot or use loss=sparse_categorical_crossentropy"
        raise UserError(
            f"loss: {loss} needs one-hot or soft labels, {name} has {labels} ones; {mend}"
        )
    if loss in WANTS_NUMBERS and labels == "integer":
        raise UserError(
            f"loss: {loss} compares numbers, {name} has integer class labels; "
            "add data.labels=one_hot or use loss=sparse_categorical_crossentropy"
        )
    if config.loss.class_weights is not None:
        class_weights(config.loss.class_weights, dataset)
    for metric in config.metrics:
        check_metric(metric, labels)
    if "accuracy" in config.metrics and labels == "real":
        raise UserError(
            f"metrics: accuracy needs classes, {name} has real-valued labels; "
            "use task=regression, or for example metrics=[mean_absolute_error]"
        )


def check_metric(metric: str, labels: str) -> None:
    """Whether one of Keras' metrics for classes fits the labels; Keras itself would broadcast.

    Raises:
        UserError: naming the metric.
    """
    wanted = ("integer",) if "sparse" in metric else ("one_hot", "soft")
    if "categorical" in metric and labels not in wanted:
        hint = "" if labels == "real" else "; metrics=[accuracy] takes either"
        raise UserError(
            f"metrics={metric}: it needs {' or '.join(wanted)} labels, not {labels} ones{hint}"
        )


def check_outputs(folder: str) -> Path:
    """The absolute outputs folder, shown to be writable without leaving anything behind.

    Raises:
        UserError: when a file is in the way or the rights are missing.
    """
    path = Path(folder).expanduser().absolute()
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"outputs={folder}: {existing} is not a folder; choose another outputs=DIR")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"outputs={folder}: {existing} can't be written to ({reason}); "
            "choose another outputs=DIR"
        ) from error
    return path

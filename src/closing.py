"""What is left of a run when its training ends: test score, pictures' numbers, model, summary."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from src.data.dataset import Dataset, Split
from src.engine import export, state
from src.engine.program import Program
from src.optimizers import loss_scaling
from src.run import Run

CONFUSION_MATRIX = "confusion_matrix.json"
REQUEST = "request.json"  # in the run's folder: for a server of its model
RESIDUALS = "residuals.json"
RESIDUAL_ROWS = 10_000  # at most, evenly spread: the picture shows a fifth of them


def close(runs: Sequence[Run], program: Program, dataset: Dataset, *, pictures: bool) -> None:
    """Score the best checkpoints, keep what people look at, and end the records.

    Args:
        runs: with `status` decided; what was interrupted or failed is not scored.
        program: theirs, in its final state.
        dataset: its splits.
        pictures: whether the model is kept, and a confusion matrix or, of real labels, residuals.
    """
    finished = [member for member, run in enumerate(runs) if run.status == "FINISHED"]
    for member in finished:
        run = runs[member]
        final = program.snapshot(member)
        run.tracker.tags(
            {
                "state_sha256": state.sha256(final),
                "stopped_early": str(run.stopped_early).lower(),
                **loss_scaling.tags(final),
            }
        )
        if run.best:
            program.restore(run.best.state, member)
            run.tracker.tags({"best_epoch": str(run.best.epoch)})
    if finished and dataset.test is not None:
        scores = program.evaluate(dataset.test)
        for member in finished:
            tested = {f"test/{name}": value for name, value in scores[member].items()}
            runs[member].tracker.metrics(runs[member].epoch, tested)
            runs[member].metrics |= tested
    if pictures:
        for member in finished:
            model = program.model(member)
            keep = _residuals if dataset.labels == "real" else _confusion_matrix
            keep(runs[member], model, dataset, program.evaluation_batch_size)
            _model(runs[member], model, dataset, export.activation_of(program.step.loss))
    for run in runs:
        run.close()


def _confusion_matrix(run: Run, model: keras.Model, dataset: Dataset, batch_size: int) -> None:
    """Rows are the true classes of the validation split, columns the predicted ones."""
    true = dataset.val.y if dataset.labels == "integer" else dataset.val.y.argmax(axis=1)
    counts = np.zeros((dataset.num_classes, dataset.num_classes), np.int64)
    for first, predictions in _batches(model, dataset.val, batch_size):
        batch = true[first : first + len(predictions)]
        np.add.at(counts, (batch, predictions.argmax(axis=-1)), 1)
    content = {"class_names": list(dataset.class_names), "counts": counts.tolist()}
    _keep(run, CONFUSION_MATRIX, content)


def _residuals(run: Run, model: keras.Model, dataset: Dataset, batch_size: int) -> None:
    """The true and the predicted values of the validation split, `(rows, outputs)` each."""
    every = -(-dataset.val.rows // RESIDUAL_ROWS)
    shown = Split(dataset.val.x[::every], dataset.val.y[::every])
    predicted = predict(model, shown, batch_size)
    _keep(run, RESIDUALS, {"true": shown.y.tolist(), "predicted": predicted.tolist()})


def _keep(run: Run, name: str, content: dict[str, Any]) -> None:
    run.tracker.artifact_path(name).write_text(json.dumps(content), encoding="utf-8")
    run.tracker.artifact(name)


def predict(model: keras.Model, split: Split, batch_size: int) -> np.ndarray:
    """The model's outputs for a whole split, `(rows, classes)` float32."""
    return np.concatenate([outputs for _, outputs in _batches(model, split, batch_size)])


def _batches(model: keras.Model, split: Split, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The number of each batch's first row, and the model's outputs for it."""
    call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    for first in range(0, split.rows, batch_size):
        yield first, call(tf.constant(split.x[first : first + batch_size])).numpy()


def _model(run: Run, model: keras.Model, dataset: Dataset, activation: export.Activation) -> None:
    """The model as a SavedModel that takes rows as the data source gives them."""
    folder: Path = run.folder / "model"
    example = run.folder / "input_example.npy"
    dtype = dataset.train.x.dtype.name

    def write() -> None:
        assert dataset.examples is not None
        np.save(example, dataset.examples)
        request = {"inputs": dataset.examples[:1].tolist()}  # as `mlflow models serve` takes them
        (run.folder / REQUEST).write_text(json.dumps(request) + "\n", encoding="utf-8")
        export.save(model, dataset.input_shape, folder, dataset.scaling, activation, dtype)

    run.tracker.model(
        folder.name,
        input_shape=dataset.input_shape,
        input_dtype=dtype,
        output_shape=dataset.output_shape,
        input_example=example.name,
        metadata={
            "epoch": run.best.epoch if run.best else run.epoch,
            "inputs": "rows as the data source gives them, unscaled",
            "outputs": activation,
        },
        write=write,
    )

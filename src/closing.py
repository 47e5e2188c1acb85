"""What is left of a run when its training ends: test score, confusion matrix, model, summary."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from src.data.dataset import Dataset, Split
from src.engine import export, state
from src.engine.program import Program
from src.resume import SUMMARY
from src.run import Run

CONFUSION_MATRIX = "confusion_matrix.json"


def close(run: Run, program: Program, dataset: Dataset, *, pictures: bool) -> None:
    """Score the best checkpoint, keep what people look at, and end the record.

    Args:
        run: with `status` decided; what was interrupted or failed is not scored.
        program: of the run, in its final state.
        dataset: its splits.
        pictures: whether a confusion matrix and the model are kept.
    """
    if run.status == "FINISHED":
        run.tracker.tags({"state_sha256": state.sha256(program.snapshot())})
        if run.best:
            program.restore(run.best.state)
            run.tracker.tags(
                {
                    "best_epoch": str(run.best.epoch),
                    f"best_{run.monitor.replace('/', '_')}": f"{run.best.value:.6g}",
                }
            )
        if dataset.test is not None:
            [scores] = program.evaluate(dataset.test)
            tested = {f"test/{name}": value for name, value in scores.items()}
            run.tracker.metrics(run.epoch, tested)
            run.metrics |= tested
        if pictures:
            if dataset.labels != "real":
                _confusion_matrix(run, program, dataset)
            _model(run, program, dataset)
    summarise(run)
    run.tracker.end(run.status or "FAILED", run.reason, run.update, run.epoch)


def summarise(run: Run) -> None:
    """Write `artifacts/summary.json`: how the run ended and what it reached."""
    content = {
        "status": run.status,
        "reason": run.reason,
        "update": run.update,
        "epoch": run.epoch,
        "objective": run.objective,
        "objective_value": run.objective_value,
        "best_epoch": run.best.epoch if run.best else None,
        "metrics": run.metrics,
    }
    path = run.tracker.artifact_path(SUMMARY)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    run.tracker.artifact(SUMMARY)


def _confusion_matrix(run: Run, program: Program, dataset: Dataset) -> None:
    """Rows are the true classes of the validation split, columns the predicted ones."""
    predicted = predict(program, dataset.val).argmax(axis=1)
    true = dataset.val.y if dataset.labels == "integer" else dataset.val.y.argmax(axis=1)
    counts = np.zeros((dataset.num_classes, dataset.num_classes), np.int64)
    np.add.at(counts, (true, predicted), 1)
    content = {"class_names": list(dataset.class_names), "counts": counts.tolist()}
    run.tracker.artifact_path(CONFUSION_MATRIX).write_text(json.dumps(content), encoding="utf-8")
    run.tracker.artifact(CONFUSION_MATRIX)


def predict(program: Program, split: Split) -> np.ndarray:
    """The model's outputs for a whole split, `(rows, classes)` float32."""
    model = program.step.model
    call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    size = program.evaluation_batch_size
    batches = [call(tf.constant(split.x[i : i + size])).numpy() for i in range(0, split.rows, size)]
    return np.concatenate(batches)


def _model(run: Run, program: Program, dataset: Dataset) -> None:
    folder: Path = run.folder / "model"
    example = run.folder / "input_example.npy"
    np.save(example, dataset.val.x[: min(5, dataset.val.rows)])
    export.save(program.step.model, dataset.input_shape, folder)
    run.tracker.model(
        folder.name,
        input_shape=dataset.input_shape,
        output_shape=(dataset.num_classes,),
        input_example=example.name,
        metadata={"epoch": run.best.epoch if run.best else run.epoch},
    )

"""Predict: `python -m src.predict run=RUN_ID input=FILE output=FILE`.

One story: find the run, read the rows, scale them as the run's were, predict, write.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src import commands, report, startup
from src.console import warn
from src.data import rows
from src.data.chunks import row_chunks
from src.data.features import Features, of_new_rows
from src.data.inputs import Inputs
from src.errors import UserError
from src.predictions import Kind, Predictions, check_output, write
from src.recorded import CHECKPOINTS, Recorded, Weights

HELP = """
Predict rows with a recorded run's model, scaled as the run scaled its own.

  python -m src.predict run=RUN_ID input=rows.npy output=predictions.csv

  run=RUN_ID|FOLDER   an id of ours or of MLflow's, or a run's folder; also a job of a sweep
  input=FILE          .npy, .npz or .csv: rows as the run's data source gives them, unscaled;
                      of a run on a table, a CSV file with its columns
  array=NAME          which array of an .npz file; default x, or the only one
  output=FILE         .csv, .npy or .npz: for each row its class and each class' probability
  overwrite=false     true: replace the output file
  checkpoint=best     or last
  outputs=outputs     where runs are looked for

Exit codes: 0 predicted, 1 it failed, 2 wrong input
"""
KEYS = {
    "run": None,
    "input": None,
    "output": None,
    "array": "",
    "overwrite": "false",
    "checkpoint": "best",
    "outputs": "outputs",
}


def predict(words: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: naming what is wrong, before TensorFlow is imported where that is possible.
    """
    values, _ = commands.parse(words, KEYS)
    which = commands.choice(values, "checkpoint", CHECKPOINTS)
    overwrite = commands.choice(values, "overwrite", ("true", "false")) == "true"
    output = commands.path(values["output"])
    check_output(output, overwrite)
    run = Recorded.find(values["run"], commands.path(values["outputs"]))
    inputs = run.inputs()
    if inputs.positions and output.suffix == ".csv":
        raise UserError(
            f"output={output}: the run predicts something for each position of a row, which is no "
            "table; give a .npy or .npz file"
        )
    source = commands.path(values["input"])
    if inputs.features is None:
        x = rows.read(source, inputs.input_shape, values["array"])
    else:
        x = _of_table(source, inputs.features)
    predictions, weights = _predict(run, inputs, x, which)
    write(output, predictions, overwrite)
    report.show_used(
        run.record.id,
        run.folder,
        f"{weights.which}: epoch {weights.epoch}, update {weights.update}",
        [("predicted", f"{len(x):,} rows"), ("output", str(output))],
        run.outputs,
        None,
    )
    return 0


def _of_table(path: Path, features: Features) -> np.ndarray:
    """Model inputs of a table's rows; says which categories training never saw."""
    if path.suffix in rows.ARRAYS:
        raise UserError(
            f"input={path}: the run was trained on a table; give a CSV file with the columns "
            f"{', '.join(column.name for column in features.layout.columns)}"
        )
    x, notes = of_new_rows(str(path), features.record(), "input")
    for note in notes:
        warn(note)
    return x


def _predict(
    run: Recorded, inputs: Inputs, x: np.ndarray, which: str
) -> tuple[Predictions, Weights]:
    startup.import_tensorflow()
    from src import restored  # these need TensorFlow
    from src.engine import export

    model, program, weights = restored.model(run, inputs, which)
    activation = export.activation_of(program.step.loss)
    exported = export.Exported(model, inputs.input_shape, activation=activation, dtype=inputs.dtype)
    size = run.config.data.evaluation_batch_size
    values = []
    for piece in row_chunks(x):
        # In pieces: rows of a mapped file may be more than memory holds.
        scaled = inputs.of_rows(x, np.arange(piece.start, piece.stop))
        values += [exported(scaled[at : at + size]).numpy() for at in range(0, len(scaled), size)]
    sums_up = activation == "softmax" or getattr(program.step.loss, "from_logits", None) is False
    kind: Kind = "probability" if sums_up else "score"
    if inputs.labels == "real":
        kind = "output"
    return Predictions(np.concatenate(values), inputs.class_names, kind), weights


if __name__ == "__main__":
    sys.exit(commands.enter(predict, sys.argv[1:], HELP))

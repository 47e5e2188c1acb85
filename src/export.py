"""Export: `python -m src.export run=RUN_ID`: a run's model as files that load without this repo.

One story: find the run, build its model, write it aside, rename it into place.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from src import commands, report, startup
from src.data.inputs import Inputs
from src.errors import UserError
from src.recorded import CHECKPOINTS, Recorded, Weights

HELP = """
Write a recorded run's model as a SavedModel and as a .keras file; both load without this
repository, take unscaled rows, float32 (rows, ...), and give what src.predict gives. Those of a run
on a table take features, which about.json explains.

  python -m src.export run=RUN_ID
  python -m src.export run=RUN_ID output=models/digits checkpoint=last

  run=RUN_ID|FOLDER           an id of ours or of MLflow's, or a run's folder; also a job of a sweep
  output=FOLDER               new; default exported/ID-CHECKPOINT in the outputs folder
  formats=saved_model,keras   what is written
  checkpoint=best             or last
  outputs=outputs             where runs are looked for

    tf.saved_model.load("FOLDER/saved_model").signatures["serving_default"](inputs=rows)
    keras.saving.load_model("FOLDER/model.keras").predict(rows)

Exit codes: 0 written, 1 it failed, 2 wrong input
"""
KEYS = {
    "run": None,
    "output": "",
    "formats": "saved_model,keras",
    "checkpoint": "best",
    "outputs": "outputs",
}
FORMATS = ("saved_model", "keras")


def export(words: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: naming what is wrong, before anything is written.
    """
    values, _ = commands.parse(words, KEYS)
    which = commands.choice(values, "checkpoint", CHECKPOINTS)
    formats = values["formats"].split(",")
    for name in formats:
        commands.choice({"formats": name}, "formats", FORMATS)
    outputs = commands.path(values["outputs"])
    run = Recorded.find(values["run"], outputs)
    folder = outputs / "exported" / f"{run.record.id}-{which}"
    if values["output"]:
        folder = commands.path(values["output"])
    _check(folder)
    inputs = run.inputs()
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        aside.mkdir(parents=True)
        weights = _write(run, inputs, which, formats, aside)
        aside.rename(folder)
    except OSError as error:
        raise UserError(f"output={folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    report.show_used(
        run.record.id,
        run.folder,
        f"{weights.which}: epoch {weights.epoch}, update {weights.update}",
        [("exported", str(path)) for path in sorted(folder.iterdir())],
        run.outputs,
        None,
    )
    return 0


def _check(folder: Path) -> None:
    if folder.exists():
        raise UserError(f"output={folder}: it exists; choose a new folder, or remove it first")
    existing = next(path for path in folder.parents if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"output={folder}: {existing} can't be written to; choose another folder")


def _write(
    run: Recorded, inputs: Inputs, which: str, formats: Sequence[str], folder: Path
) -> Weights:
    startup.import_tensorflow()
    from src import restored  # these need TensorFlow
    from src.engine import export as exporting
    from src.engine import portable

    model, program, weights = restored.model(run, inputs, which)
    how = (inputs.scaling, exporting.activation_of(program.step.loss), inputs.dtype)
    if "saved_model" in formats:
        exporting.save(model, inputs.input_shape, folder / "saved_model", *how)
    if "keras" in formats:
        try:
            made = portable.of_keras_layers(model, inputs.input_shape, *how)
        except portable.NotKerasOwnError as error:
            raise UserError(
                f"formats=keras: {error}, so that a .keras file of it would not load elsewhere; "
                "formats=saved_model writes the SavedModel alone"
            ) from error
        made.save(folder / "model.keras")
    about = {
        "run": run.record.id,
        "checkpoint": which,
        "epoch": weights.epoch,
        "input_shape": inputs.input_shape,
        "input_dtype": inputs.dtype,
        "labels": inputs.labels,
        "class_names": inputs.class_names,
        "features": inputs.features.record() if inputs.features else None,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return weights


if __name__ == "__main__":
    sys.exit(commands.enter(export, sys.argv[1:], HELP))

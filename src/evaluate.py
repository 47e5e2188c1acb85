"""Evaluate: `python -m src.evaluate run=RUN_ID`: score a recorded run, and log that to the run.

One story: find the run, load the data, build the run again, score it, write the run's journal,
deliver.
"""

import hashlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from src import commands, report, startup
from src.console import warn
from src.data.dataset import Dataset, Split
from src.errors import UserError
from src.recorded import CHECKPOINTS, Recorded
from src.tracking import closing
from src.tracking.shipping import Delivery, ShipperProcess
from src.tracking.tracker import Tracker

if TYPE_CHECKING:
    from src.config import Config
    from src.recorded import Weights

HELP = """
Score a recorded run, built again from the configuration it recorded, and log that to the run.

  python -m src.evaluate run=RUN_ID                        best checkpoint, validation rows
  python -m src.evaluate run=RUN_ID split=val,test checkpoint=last
  python -m src.evaluate run=RUN_ID split=all data=arrays data.path=later.npz

  run=RUN_ID|FOLDER   an id of ours or of MLflow's, or a run's folder; also a job of a sweep
  checkpoint=best     or last
  split=val           of val, test, train, all; several with commas
  data=... data.*     other data, or other keys of the run's own; it is scaled as the run's was
  outputs=outputs     where runs are looked for

The metrics are evaluate/SPLIT/NAME at the checkpoint's epoch, those of other data
evaluate/DATA-DIGEST/SPLIT/NAME. The run's status stays as it is.

Exit codes: 0 scored, 1 it failed, 2 wrong input
"""
KEYS = {"run": None, "checkpoint": "best", "split": "val", "outputs": "outputs"}
SPLITS = ("val", "test", "train", "all")


def evaluate(words: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: naming what is wrong, before anything is written.
    """
    values, overrides = commands.parse(words, KEYS, ["data"])
    which = commands.choice(values, "checkpoint", CHECKPOINTS)
    names = values["split"].split(",")
    for name in names:
        commands.choice({"split": name}, "split", SPLITS)
    outputs = commands.path(values["outputs"])
    run = Recorded.find(values["run"], outputs)
    with _taken(run) as tracker:
        dataset, config, own = run.data(overrides)
        splits = {name: _split(dataset, name) for name in names}
        shipper = None
        if run.record.tracking_uri:
            shipper = ShipperProcess.start(run.record.tracking_uri)
            shipper.prepare(pictures=False)
        delivery = None
        try:
            scores, weights = _score(run, config, dataset, splits, which)
            scheme = "evaluate" if own else f"evaluate/{_name_of(dataset, config)}"
            _record(tracker, scheme, scores, weights.epoch, "" if own else dataset.source)
            if shipper is not None:
                shipper.ship(run.folder)  # only now: it lets go of a run that is delivered
        finally:
            if shipper is not None:
                delivery = shipper.finish(config.tracking.wait_seconds)
    _show(run, weights, scheme, scores, splits, delivery)
    return 0


def _taken(run: Recorded) -> Tracker:
    """The run's tracker, which keeps others from writing its journal meanwhile.

    Raises:
        UserError: the run is going on, or may be on another machine.
    """
    tracker = Tracker(run.folder, run.record, warn=warn)
    if tracker.journal.ended is not None:
        return tracker
    tracker.close()
    alive = closing.writer_alive(run.folder, run.record)
    if alive is False and closing.close(run.folder):
        return Tracker(run.folder, run.record, warn=warn)
    where = "is still going on" if alive else "has no end, and may go on on another machine"
    raise UserError(
        f"run={run.record.id}: it {where}; wait for its end"
        + ("" if alive else f", or close it: python -m src.sync {run.folder} close=true")
    )


def _split(dataset: Dataset, name: str) -> Split:
    splits = dataset.splits()
    if name == "all" and not isinstance(dataset.train.x, np.ndarray):
        raise UserError("split=all: streamed data is scored split by split: split=val,test,train")
    if name == "all":
        parts = list(splits.values())
        return Split(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))
    if name not in splits:
        raise UserError(
            f"split={name}: {dataset.name} has no such rows; it has {', '.join(splits)}"
        )
    return splits[name]


def _score(
    run: Recorded, config: "Config", dataset: Dataset, splits: dict[str, Split], which: str
) -> tuple[dict[str, dict[str, float]], "Weights"]:
    startup.import_tensorflow()
    from src import restored  # needs TensorFlow

    program, weights = restored.program(run, config, dataset, which)
    return {name: program.evaluate(split)[0] for name, split in splits.items()}, weights


def _name_of(dataset: Dataset, config: "Config") -> str:
    """A name for other data, and other divisions of the run's own, that none else has."""
    data = config.data
    decides = (
        dataset.digest,
        data.seed,
        data.validation_fraction,
        data.test_fraction,
        data.labels,
        *([] if data.max_rows is None else [data.max_rows]),
    )
    return f"{dataset.name}-{hashlib.sha256(repr(decides).encode()).hexdigest()[:8]}"


def _record(
    tracker: Tracker, scheme: str, scores: dict[str, dict[str, float]], epoch: int, source: str
) -> None:
    """Append to the journal what it doesn't hold."""
    metrics = {
        f"{scheme}/{split}/{name}": value
        for split, values in scores.items()
        for name, value in values.items()
    }
    if tracker.measured(epoch, metrics) and source:
        tracker.tags({scheme.replace("/", "."): source})
    tracker.sync()


def _show(
    run: Recorded,
    weights: "Weights",
    scheme: str,
    scores: dict[str, dict[str, float]],
    splits: dict[str, Split],
    delivery: Delivery | None,
) -> None:
    table = [["split", "rows", *next(iter(scores.values()))]]
    for name, values in scores.items():
        figures = [f"{value:.4f}" for value in values.values()]
        table.append([name, f"{splits[name].rows:,}", *figures])
    report.show_table(table)
    report.show_used(
        run.record.id,
        run.folder,
        f"{weights.which}: epoch {weights.epoch}, update {weights.update}",
        [("metrics", f"{scheme}/SPLIT/NAME at step {weights.epoch}")],
        run.outputs,
        delivery,
    )


if __name__ == "__main__":
    sys.exit(commands.enter(evaluate, sys.argv[1:], HELP))

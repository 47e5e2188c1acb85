"""What a run remembers while it trains, and what of it survives in a checkpoint."""

import errno
import math

import numpy as np
import pytest

from src.engine.checkpoint import CheckpointError, Checkpoints, load
from src.run import Run
from src.tracking.record import RunRecord
from src.tracking.tracker import Tracker


@pytest.fixture
def run(tmp_path):
    record = RunRecord(id="r", name="r")
    record.claim(tmp_path / "r")
    made = Run(
        tracker=Tracker(tmp_path / "r", record),
        checkpoints=Checkpoints(tmp_path / "r" / "checkpoints"),
        seed=0,
        learning_rate=0.1,
        monitor="val/loss",
        objective="val/accuracy",
    )
    yield made
    made.tracker.close()


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_updates_are_counted_and_recorded(run, journal_of):
    run.record_updates(1, floats(3, 2), floats(0.5, 0.25))
    run.record_updates(3, floats(1), floats(0.125))
    assert (run.update, run.status) == (3, None)
    updates = journal_of(run.folder).updates
    assert updates["update/loss"].tolist() == [3, 2, 1]
    assert updates["update/learning_rate"].tolist() == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_ends_the_run(run, journal_of, bad):
    run.record_updates(1, floats(3, 2), floats(1, 1))
    run.record_updates(3, floats(1, bad, 7, math.nan), floats(1, 1, 1, 1))
    assert (run.status, run.update) == ("FAILED", 4)
    assert run.reason == f"the loss became {bad} at update 4"
    losses = journal_of(run.folder).updates["update/loss"]
    np.testing.assert_array_equal(losses, floats(3, 2, 1, bad))  # what came after it means nothing


def test_the_best_epoch_is_the_first_of_the_best_by_the_monitor(run):
    accuracies = [0.1, 0.3, 0.2, 0.3]
    kept = []
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 1.0], start=1):
        run.update = 10 * epoch
        if run.record_epoch(epoch, {"val/loss": loss, "val/accuracy": accuracies[epoch - 1]}):
            run.keep_best({"model/w": floats(epoch)})
            kept.append(epoch)
    assert kept == [1, 2]
    assert (run.best.value, run.best.epoch, run.best.update) == (1.0, 2, 20)
    assert run.best.state["model/w"].tolist() == [2]
    assert run.objective_value == 0.3  # the objective has an end of its own
    assert (run.epoch, run.metrics["val/loss"]) == (4, 1.0)


def test_an_epoch_whose_monitor_is_nan_is_never_the_best(run):
    assert not run.record_epoch(1, {"val/loss": math.nan, "val/accuracy": math.nan})
    assert (run.best, run.objective_value) == (None, None)
    assert run.record_epoch(2, {"val/loss": math.inf, "val/accuracy": 0.5})


def test_a_checkpoint_holds_all_that_a_run_goes_on_with(run, tmp_path):
    run.record_updates(1, floats(1, 1, 1), floats(1, 1, 1))
    run.record_epoch(1, {"val/loss": 2.0, "val/accuracy": 0.5})
    run.keep_best({"model/w": floats(7)})
    run.record_updates(4, floats(1), floats(1))
    run.save(1, {"model/w": floats(8), "optimizer/m": floats(9)})

    again = Run(run.tracker, run.checkpoints, 0, 0.1, "val/loss", "val/accuracy")
    again.resume(run.checkpoints.newest(warn=pytest.fail))
    assert again.best is not None
    assert (again.update, again.epoch, again.objective_value) == (4, 1, 0.5)
    assert again.metrics == {"val/loss": 2.0, "val/accuracy": 0.5}
    assert (again.best.value, again.best.epoch, again.best.update) == (2.0, 1, 3)
    assert again.best.state["model/w"].tolist() == [7]
    assert not again.record_epoch(2, {"val/loss": 2.5, "val/accuracy": 0.25})
    checkpoint = load(run.folder / "checkpoints" / "00000004")
    assert checkpoint.progress["update_in_epoch"] == 1


def test_a_checkpoint_before_the_first_epochs_end_has_no_best(run):
    run.record_updates(1, floats(1), floats(1))
    run.save(1, {"model/w": floats(8)})
    again = Run(run.tracker, run.checkpoints, 0, 0.1, "val/loss", "val/loss")
    again.resume(run.checkpoints.newest(warn=pytest.fail))
    assert (again.update, again.epoch, again.best, again.objective_value) == (1, 0, None, None)


def test_metrics_that_are_not_finite_survive_a_checkpoint(run):
    run.record_epoch(1, {"val/loss": math.nan, "val/accuracy": math.inf})
    run.save(0, {"model/w": floats(8)})
    again = Run(run.tracker, run.checkpoints, 0, 0.1, "val/loss", "val/accuracy")
    again.resume(run.checkpoints.newest(warn=pytest.fail))
    assert math.isnan(again.metrics["val/loss"])
    assert again.objective_value == math.inf


def test_the_journal_is_on_disk_before_the_checkpoint_that_counts_on_it(run, monkeypatch):
    order = []
    monkeypatch.setattr(run.tracker, "sync", lambda: order.append("journal"))
    monkeypatch.setattr(run.checkpoints, "save", lambda *_: order.append("checkpoint"))
    run.save(0, {})
    assert order == ["journal", "checkpoint"]


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_says_why(run, monkeypatch):
    def refuse(*_):
        raise CheckpointError("checkpoints/00000003: the disk is full")

    monkeypatch.setattr(run.checkpoints, "save", refuse)
    run.save(0, {})
    assert run.status == "FAILED"
    assert "checkpoints/00000003: the disk is full" in run.reason


def test_the_first_end_stands(run):
    run.end("FAILED", "first")
    run.end("FINISHED", "second")
    assert (run.status, run.reason) == ("FAILED", "first")


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [
        ("FINISHED", 0.5, 0.5),
        ("FINISHED", 0.0, 0.0),
        ("FINISHED", None, math.nan),
        ("FAILED", 0.5, math.nan),
    ],
)
def test_a_sweeper_is_told_the_objective_or_nan(run, status, value, expected):
    run.objective_value = value
    run.end(status, "")
    assert run.score == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("status", "kept"), [("FINISHED", "FAILED"), ("KILLED", "KILLED")])
def test_an_end_that_cannot_be_written_is_told(run, monkeypatch, journal_of, status, kept):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("src.run.write_json_atomically", full)
    run.end(status, "as planned")
    run.close()
    assert (run.status, run.closed) == (kept, True)
    assert run.reason.startswith("as planned; its summary could not be written (")
    last = journal_of(run.folder).lines[-1]  # a short line may find room where a file doesn't
    assert (last["kind"], last["status"]) == ("end", kept)

"""Real processes and real signals in the middle of training; then `resume=auto`."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

# Some seconds of training, in which the signal comes.
DROPOUT = (
    "data=digits",
    "model=mlp",
    "model.dropout=0.2",
    "optimizer=adam",
    "schedule=cosine",
    "epochs=80",
)
NORMALISED = ("model=cnn", "model.filters=[3]", "data.batch_size=8", "epochs=150")


def wait_for_training(outputs: Path, process) -> Path:
    """The run's folder, once its journal holds some lines of updates and a checkpoint is there."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        assert process.poll() is None, process.communicate()
        for path in outputs.glob("runs/*/journal.jsonl"):
            trained = path.read_bytes().count(b'"kind":"updates"') >= 10
            if trained and list(path.parent.glob("checkpoints/0*/manifest.json")):
                return path.parent
        time.sleep(0.005)
    raise AssertionError("training has not begun")


def checkpoint_of(folder: Path) -> int:
    return max(int(path.name) for path in (folder / "checkpoints").glob("0*"))


@pytest.mark.parametrize(
    ("number", "code", "given"),
    [
        pytest.param(signal.SIGINT, 130, DROPOUT, marks=pytest.mark.slow),
        (signal.SIGTERM, 143, NORMALISED),
        pytest.param(
            signal.SIGKILL,
            -9,
            ("data=digits", "model=mlp", "epochs=150"),
            marks=pytest.mark.slow,  # of kills there are more in test_survival.py
        ),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_stopped_in_the_middle_it_goes_on_bit_for_bit(
    number, code, given, started, command, tmp_path, pictures, journal_of, only_run, tiny
):
    if given is NORMALISED:
        given = ("data=arrays", f"data.path={pictures}", *given)
    given = tiny(*given, "checkpoint.every_seconds=0.05")
    outputs = tmp_path / "outputs"
    process = started(*given, f"outputs={outputs}")
    folder = wait_for_training(outputs, process)
    process.send_signal(number)
    sent = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    if number != signal.SIGKILL:
        assert time.monotonic() - sent < 10  # on an idle machine some tenths of a second
        assert "Traceback" not in err
        assert f"resume={folder.name}" in out
        last = journal_of(folder).lines[-1]
        assert (last["kind"], last["status"]) == ("end", "KILLED")
        assert checkpoint_of(folder) == last["update"]
        assert len(journal_of(folder).updates["update/loss"]) == last["update"]
        assert f"interrupted by signal {int(number)} after update {last['update']}" in out

    whole = command(*given, f"outputs={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    reached = checkpoint_of(folder)
    parts = command(*given, f"outputs={outputs}", "resume=auto")
    assert parts.code == 0, parts.err
    assert f"resume=auto: {folder} goes on" in parts.out
    assert only_run(outputs) == folder

    expected, found = journal_of(only_run(tmp_path / "whole")), journal_of(folder)
    assert [line["update"] for line in found.kind("begin")] == [0, reached]
    assert 0 < reached < len(expected.updates["update/loss"])
    assert found.tags["state_sha256"] == expected.tags["state_sha256"]
    assert found.metrics == expected.metrics
    for key, values in expected.updates.items():
        np.testing.assert_array_equal(found.updates[key], values)
    assert found.kind("mismatch") == []
    assert found.lines[-1]["status"] == "FINISHED"


def test_a_signal_while_tensorflow_is_imported_leaves_nothing_behind(started, tmp_path):
    outputs = tmp_path / "outputs"
    process = started("tracking=none", f"outputs={outputs}")
    limit = time.monotonic() + 60
    maps = Path(f"/proc/{process.pid}/maps")
    while time.monotonic() < limit and "libtensorflow" not in maps.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not outputs.exists()


@pytest.mark.slow
def test_a_sweep_that_is_interrupted_keeps_what_is_done(started, tmp_path, tiny, journal_of):
    outputs = tmp_path / "outputs"
    given = tiny("data=digits", "epochs=100000", "seed=1,2")
    process = started("-m", *given, f"outputs={outputs}")
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        children = list(outputs.glob("sweeps/*/0/journal.jsonl"))
        if children and b'"kind":"updates"' in children[0].read_bytes():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    [sweep] = (outputs / "sweeps").iterdir()
    assert sorted(path.name for path in sweep.iterdir() if path.name.isdigit()) == ["0"]
    assert journal_of(sweep / "0").lines[-1]["status"] == "KILLED"
    assert journal_of(sweep).lines[-1]["status"] == "KILLED"
    assert checkpoint_of(sweep / "0") > 0

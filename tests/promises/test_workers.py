"""Processes over TF_CONFIG train as one device does, into one run; a lost one ends the run, which
says so, and goes on to the same bits.
"""

import json
import signal
import socket
import sqlite3
import time
from typing import Any

import numpy as np
import pytest

from src.tracking.record import RunRecord

pytestmark = pytest.mark.slow

# Batches of 9, 9 and 2 rows: the workers have 4 and 5 of a whole one, and 1 each of the last.
GIVEN = (
    *("data=random", "data.rows=20", "data.features=3", "data.classes=4"),
    *("data.validation_rows=7", "data.test_rows=5", "data.batch_size=9", "model.hidden=[5]"),
    *("optimizer=adam", "optimizer.global_clipnorm=0.5", "metrics=[accuracy]"),
)
LOST = "is lost: "


@pytest.fixture
def start(started, tmp_path):
    """Start both workers: the chief and the other one, each in an outputs folder of its own."""

    def make(*overrides):
        servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [server.getsockname()[1] for server in servers]
        for server in servers:
            server.close()
        processes = []
        for index in range(2):
            workers = [f"127.0.0.1:{port}" for port in ports]
            place = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            processes.append(
                started(
                    *GIVEN,
                    "strategy=multiworker",
                    *overrides,
                    f"outputs={tmp_path / f'outputs{index}'}",
                    TF_CONFIG=json.dumps(place),
                )
            )
        return processes

    return make


def ended(processes, codes):
    """The output of both, which ended in time and with these codes."""
    said = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == codes, said
    assert not any("Traceback" in text for texts in said for text in texts), said
    return said


def wait_for_training(folder, processes, after=0):
    """The run's folder, once it has a checkpoint of more than `after` updates."""
    limit = time.monotonic() + 100
    while time.monotonic() < limit:
        assert all(p.poll() is None for p in processes), [p.communicate() for p in processes]
        for path in folder.glob("runs/*/checkpoints/0*/manifest.json"):
            if int(path.parent.name) > after:
                return path.parents[2]
        time.sleep(0.01)
    raise AssertionError("training has not begun")


def test_two_workers_reach_what_one_device_reaches_in_one_run(
    start, train_in, tmp_path, journal_of, only_run
):
    both = start("epochs=3")
    one = journal_of(train_in(tmp_path / "alone", *GIVEN, "epochs=3").folder)
    (out, _), (said, complained) = ended(both, [0, 0])
    assert (said, complained) == ("", "")
    assert not (tmp_path / "outputs1").exists()
    two = journal_of(only_run(tmp_path / "outputs0"))
    close: Any = {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(two.updates["update/loss"], one.updates["update/loss"], **close)
    assert len(one.updates["update/loss"]) == 9
    assert two.metrics.keys() == one.metrics.keys()
    for name, value in one.metrics.items():
        np.testing.assert_allclose(two.metrics[name], value, err_msg=str(name), **close)
    with sqlite3.connect(tmp_path / "outputs0" / "mlflow.db") as store:
        [(run, status)] = store.execute("select run_uuid, status from runs").fetchall()
    assert status == "FINISHED"
    assert run in out


def test_lost_workers_end_a_run_that_goes_on_bit_for_bit(start, tmp_path, journal_of, only_run):
    long = (
        *("epochs=400", "model.dropout=0.3", "checkpoint.every_seconds=0.05", "tracking=none"),
        "strategy.timeout_seconds=20",
    )
    outputs = tmp_path / "outputs0"
    # Told to stop, a worker has the chief save and stop.
    both = start(*long)
    folder = wait_for_training(outputs, both)
    both[1].send_signal(signal.SIGTERM)
    (out, _), quiet = ended(both, [143, 143])
    assert "interrupted by signal 15" in out
    assert quiet == ("", "")
    last = journal_of(folder).lines[-1]
    assert last["status"] == "KILLED"
    # Without the chief a worker has nothing to do.
    both = start(*long, "resume=auto")
    wait_for_training(outputs, both, after=last["update"])
    both[0].kill()
    _, (_, error) = ended(both, [-9, 1])
    assert "error: the chief at 127.0.0.1" in error
    assert LOST in error
    # Without a worker the chief ends the run and says so.
    both = start(*long, "resume=auto")
    wait_for_training(outputs, both, after=last["update"] + 20)
    both[1].kill()
    killed = time.monotonic()
    (_, error), _ = ended(both, [1, -9])
    assert time.monotonic() - killed < 60
    assert "error: worker 1 at 127.0.0.1" in error
    assert LOST in error
    assert only_run(outputs) == folder
    last = journal_of(folder).lines[-1]
    assert last["status"] == "FAILED"
    assert "worker 1 at 127.0.0.1:" in last["reason"]
    summary = json.loads((folder / "artifacts" / "summary.json").read_text())
    assert summary["status"] == "FAILED"
    # Both go on, and reach what two workers reach that nothing befell.
    ended(start(*long, "resume=auto"), [0, 0])
    parts = journal_of(only_run(outputs))
    assert parts.lines[-1]["status"] == "FINISHED"
    assert RunRecord.load(folder).params["strategy.kind"] == "multiworker"
    outputs.rename(tmp_path / "parts")
    ended(start(*long), [0, 0])
    whole = journal_of(only_run(outputs))
    assert parts.tags["state_sha256"] == whole.tags["state_sha256"]
    assert parts.metrics == whole.metrics
    np.testing.assert_array_equal(parts.updates["update/loss"], whole.updates["update/loss"])

"""The shipper as a real process, beside trainers that end, are killed, or never were."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src import sync
from src.tracking import outstanding, shipping
from src.tracking.children import point_to
from src.tracking.record import RunRecord
from src.tracking.shipping import ShipperProcess
from src.tracking.tracker import Tracker
from tests.tracking.runs import exact_updates, free_port, losses, write_run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds, on a machine that does other things too

# A trainer: argv folder, uri, number of updates, what it does then.
TRAINER = """
import sys, time
from pathlib import Path
import numpy as np
from src.tracking.record import RunRecord
from src.tracking.shipping import ShipperProcess
from src.tracking.tracker import Tracker
folder, uri, count, then = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
shipper = ShipperProcess.start(uri)
record = RunRecord(
    id=folder.name, name="n", experiment="research", tracking_uri=uri, artifacts="none"
)
record.claim(folder)
tracker = Tracker(folder, record)
tracker.begin()
shipper.ship(folder)
losses = (1.0 / np.arange(1, 1 + count)).astype("float32")
tracker.updates(1, losses, losses)
print("shipper", shipper.pid, flush=True)
if then == "wait":
    time.sleep(600)
"""


@pytest.fixture
def trainer():
    """Start a trainer: (its process, its shipper's id); all are gone after the test."""
    processes, shippers = [], []

    def start(folder, uri, count, then):
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(folder), uri, str(count), then],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        processes.append(process)
        assert process.stdout is not None
        shippers.append(int(process.stdout.readline().split()[1]))
        return process, shippers[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    for pid in shippers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def shipper(uri):
    started = ShipperProcess.start(uri)
    yield started
    if started.pid is not None and not gone(started.pid):
        os.kill(started.pid, signal.SIGKILL)


def test_a_run_is_delivered_while_it_trains_and_at_its_end(shipper, outputs, uri, rows):
    shipper.prepare()
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end=None)
    shipper.ship(folder)
    wait_for(lambda: shipper.run_id(folder) is not None)
    tracker = Tracker(folder, record)
    tracker.updates(151, losses(50, 151), np.full(50, 0.1, np.float32))
    wait_for(lambda: outstanding.outstanding(folder) == {})
    assert shipper.prepared.is_set()
    tracker.end("FINISHED", "all epochs done", 200, 3)
    delivery = shipper.finish(PATIENCE)
    assert delivery.delivered
    assert delivery.error is None
    assert delivery.undelivered == {}
    [(run_id, _, status)] = rows.runs()
    assert (delivery.run_id, status) == (run_id, "FINISHED")
    assert rows.metrics(run_id, "update/loss") == exact_updates(200)
    assert gone(shipper.pid)
    pictures = list(outputs.glob(f"mlartifacts/*/{run_id}/artifacts/pictures/*.png"))
    assert [path.name for path in pictures] == ["learning_curves.png"]


def test_it_takes_no_notice_of_signals(shipper, outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    shipper.ship(folder)
    wait_for(lambda: shipper.run_id(folder) is not None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(shipper.pid, number)
    assert shipper.finish(PATIENCE).delivered
    assert rows.runs()[0][2] == "FINISHED"


def test_a_trainer_killed_with_kill_9_is_closed_as_killed(outputs, uri, rows, trainer):
    folder = outputs / "runs" / "a"
    process, pid = trainer(folder, uri, 500, "wait")
    process.kill()
    process.wait()
    wait_for(lambda: gone(pid))
    [(run_id, _, status)] = rows.runs()
    assert status == "KILLED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(500)
    assert rows.texts("tags", run_id)["end_reason"] == "the process ended without closing the run"
    assert outstanding.outstanding(folder) == {}


@pytest.mark.slow
def test_a_trainer_that_leaves_without_a_word_is_closed_as_killed(outputs, uri, rows, trainer):
    folder = outputs / "runs" / "a"
    process, pid = trainer(folder, uri, 5, "leave")
    assert process.wait(PATIENCE) == 0
    wait_for(lambda: gone(pid))
    assert rows.runs()[0][2] == "KILLED"


def test_a_shipper_killed_in_the_middle_loses_and_doubles_nothing(
    outputs, uri, rows, capsys, trainer
):
    count = 100_000
    folder = outputs / "runs" / "a"
    process, pid = trainer(folder, uri, count, "wait")
    wait_for(lambda: outstanding.load_delivery(folder).get("part", 0) > 0)
    os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    left = outstanding.outstanding(folder)
    assert left["metrics"] == 2 * count  # counted by whole lines
    (run_id,) = [run[0] for run in rows.runs()]
    [(stored,)] = rows.query("SELECT count(*) FROM metrics")
    assert 0 < stored < 2 * count
    assert sync.main([str(folder)]) == 0
    assert f"delivered as {run_id}" in capsys.readouterr().out
    [(run_id, _, status)] = rows.runs()
    assert status == "KILLED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(count)
    assert len(rows.metrics(run_id, "update/learning_rate")) == count


def test_a_refused_store_is_told_within_seconds_and_nothing_is_lost(outputs, rows, uri):
    address = f"http://127.0.0.1:{free_port()}"
    shipper = ShipperProcess.start(address)
    folder = outputs / "runs" / "a"
    write_run(folder, address, artifacts="none")
    start = time.monotonic()
    shipper.prepare()
    shipper.ship(folder)
    assert time.monotonic() - start < 0.5
    delivery = shipper.finish(PATIENCE)
    assert not delivery.delivered
    assert delivery.undelivered["metrics"] == 306
    assert delivery.run_id is None
    assert "refused" in (delivery.error or "")
    assert time.monotonic() - start < 60
    assert sync.main([str(folder), f"uri={uri}"]) == 0
    assert rows.metrics(rows.runs()[0][0], "update/loss") == exact_updates(150)


def test_a_shipper_that_dies_is_told_at_the_end_only(outputs, uri):
    shipper = ShipperProcess.start(uri)
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    assert shipper.pid
    os.kill(shipper.pid, signal.SIGKILL)
    time.sleep(0.1)
    for _ in range(100):
        shipper.ship(folder)
    delivery = shipper.finish(PATIENCE)
    assert not delivery.delivered
    assert "status -9" in (delivery.error or "")
    assert delivery.undelivered["metrics"] == 306


def test_a_shipper_that_cannot_start_is_told_at_the_end_only(outputs, uri, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    shipper = ShipperProcess.start(uri)
    shipper.prepare()
    delivery = shipper.finish(5)
    assert "could not be started" in (delivery.error or "")


def test_a_full_pipe_never_blocks_the_trainer(outputs, uri):
    shipper = ShipperProcess.start(uri)
    assert shipper.pid
    os.kill(shipper.pid, signal.SIGSTOP)
    start = time.monotonic()
    for number in range(3000):
        shipper.ship(outputs / "runs" / f"{number:0200d}")
    assert time.monotonic() - start < 5
    delivery = shipper.finish(0.5)
    assert not delivery.delivered
    assert gone(shipper.pid)


def test_the_handle_imports_neither_mlflow_nor_tensorflow():
    code = "import sys, src.tracking.shipping, src.tracking.tracker, src.sync; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert shipping.__name__ in modules
    assert not {"mlflow", "tensorflow", "matplotlib", "sqlalchemy"} & set(modules)


def test_children_of_a_sweep_are_found_and_a_dead_worker_is_closed(
    shipper, outputs, uri, rows, trainer
):
    sweep = outputs / "sweeps" / "s"
    parent = RunRecord(
        id="s",
        name="sweep",
        kind="sweep",
        experiment="research",
        tracking_uri=uri,
        artifacts="none",
    )
    parent.claim(sweep)
    tracker = Tracker(sweep, parent)
    tracker.begin()
    shipper.ship(sweep)
    shipper.watch(sweep)
    write_run(sweep / "0", uri, parent="..", artifacts="none")
    earlier = outputs / "sweeps" / "earlier" / "2"
    write_run(earlier, uri, artifacts="none")
    point_to(earlier, sweep / "2")
    worker, pid = trainer(sweep / "1", uri, 10, "wait")  # its own shipper must not interfere
    os.kill(pid, signal.SIGKILL)
    worker.kill()
    worker.wait()
    with contextlib.suppress(FileNotFoundError):
        (sweep / "1" / "delivery.json").unlink()
    tracker.end("FINISHED", "3 of 3 jobs", 0, 0)
    delivery = shipper.finish(PATIENCE)
    assert delivery.delivered, delivery
    runs = {name: (run_id, status) for run_id, name, status in rows.runs()}
    assert runs["run 0"][1] == runs["run 2"][1] == "FINISHED"
    assert runs["n"][1] == "KILLED"
    parent_tag = rows.texts("tags", runs["run 0"][0])["mlflow.parentRunId"]
    assert parent_tag == runs["sweep"][0]
    assert len(delivery.runs) == 4

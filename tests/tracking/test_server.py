"""Delivery through a real MLflow server, also one that fails in every way a server can."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from src.tracking.outstanding import load_delivery, outstanding
from src.tracking.tracker import Tracker
from tests.tracking.faults import FaultyProxy, once_each
from tests.tracking.runs import Rows, deliver, exact_updates, write_run

DATASET = {"name": "digits", "digest": "cd" * 32, "source": "made up", "input_shape": [4]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    monkeypatch.setattr("src.tracking.pump.FIRST_PAUSE", 0.05)
    monkeypatch.setattr("src.tracking.pump.LONGEST_PAUSE", 0.2)


@pytest.fixture
def run(tmp_path, request):
    """The folder of a run with something of everything; its name is the test's."""

    def make(address: str) -> Path:
        folder = tmp_path / "runs" / request.node.name
        record = write_run(
            folder,
            address,
            end=None,
            dataset=DATASET,
            params={"p": 1, "empty": "", "long": "é" * 7000},
            tags={"t": "v"},
        )
        tracker = Tracker(folder, record)
        tracker.artifact_path("deep/x.txt").write_text("x")
        tracker.artifact("deep/x.txt")
        tracker.tags({"state_sha256": "0"})
        tracker.end("FINISHED", "all epochs done", 150, 3)
        return folder

    return make


def check(folder: Path, address: str, database: Path) -> None:
    """The run is in the store, once and whole."""
    rows = Rows(database)
    state = load_delivery(folder)
    assert state["status"] == "delivered", state
    mine = rows.query(
        "SELECT run_uuid FROM tags WHERE key = 'harness.id' AND value = ?", folder.name
    )
    assert mine == [(state["run_id"],)]
    run_id = state["run_id"]
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)
    assert rows.metrics(run_id, "train/loss") == [(1, 1, 0), (2, 0.5, 0), (3, 1 / 3, 0)]
    params = rows.texts("params", run_id)
    assert (params["p"], params["empty"], len(params["long"])) == ("1", "", 6000)
    assert rows.texts("tags", run_id)["state_sha256"] == "0"
    assert len(rows.query("SELECT * FROM inputs WHERE destination_id = ?", run_id)) == 1
    client = MlflowClient(tracking_uri=address)
    assert client.get_run(run_id).info.status == "FINISHED"
    names = {info.path for info in client.list_artifacts(run_id)}
    assert names == {"deep", "params_full.json", "pictures"}


def test_a_healthy_server_gets_all(server, run):
    address, database = server
    folder = run(address)
    assert deliver(folder) == ""
    check(folder, address, database)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["cut", "503", "500", "half"])
def test_every_request_may_fail_once(server, run, fault):
    address, database = server
    with FaultyProxy(address, once_each(fault)) as proxy:
        folder = run(proxy.address)
        assert deliver(folder) == ""
    assert len(proxy.faults) >= 6
    check(folder, address, database)


@pytest.mark.slow
def test_a_server_that_hangs_is_left_alone_and_served_later(server, run):
    address, database = server
    with FaultyProxy(address, lambda path: "hang") as proxy:
        folder = run(proxy.address)
        start = time.monotonic()
        error = deliver(folder, grace=0.1)
        assert time.monotonic() - start < 30
        assert "timeout" in error
        assert outstanding(folder)["metrics"] == 306
        proxy.fault = lambda path: None
        assert deliver(folder) == ""
    check(folder, address, database)


def test_wrong_credentials_are_named_and_nothing_is_lost(server, run):
    address, database = server
    with FaultyProxy(address, lambda path: "401") as proxy:
        folder = run(proxy.address)
        deliver(folder)
        state = load_delivery(folder)
        assert state["status"] == "failed"
        assert "401" in state["error"]
        proxy.fault = lambda path: None
        assert deliver(folder) == ""
    check(folder, address, database)


def test_nan_and_infinity_through_http(server, tmp_path):
    address, database = server
    folder = tmp_path / "nan"
    record = write_run(folder, address, epochs=0, end=None, artifacts="none")
    tracker = Tracker(folder, record)
    tracker.updates(1, np.array([np.nan, np.inf], np.float32), np.zeros(2, np.float32))
    tracker.metrics(1, {"val/loss": -math.inf})
    tracker.end("FAILED", "", 2, 1)
    assert deliver(folder) == ""
    rows = Rows(database)
    run_id = load_delivery(folder)["run_id"]
    largest = 1.7976931348623157e308
    assert rows.metrics(run_id, "update/loss") == [(1, 0.0, 1), (2, largest, 0)]
    assert rows.metrics(run_id, "val/loss") == [(1, -largest, 0)]

import json
import math
import shutil

import numpy as np
import pytest

from src.tracking import journal
from src.tracking.delivery import FolderBusyError, FolderDelivery
from src.tracking.outstanding import load_delivery, outstanding
from src.tracking.record import RunRecord
from src.tracking.store import Store
from src.tracking.tracker import Tracker
from tests.tracking.runs import deliver, exact_updates, losses, write_run

DATASET = {
    "name": "digits",
    "digest": "ab" * 32,
    "source": "scikit-learn's digits",
    "train_rows": 10,
    "val_rows": 5,
    "test_rows": None,
    "input_shape": [8, 8],
    "num_classes": 10,
}


def test_a_run_arrives_whole(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(
        folder,
        uri,
        params={"optimizer.learning_rate": 0.1, "none": None, "list": [1, 2]},
        tags={"command": "python -m src.train", "git_commit": "abc", "mlflow.user": "me"},
        dataset=DATASET,
        artifacts="light",
    )
    assert deliver(folder) == ""
    [(run_id, name, status)] = rows.runs()
    assert (name, status) == ("run a", "FINISHED")
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)
    assert rows.metrics(run_id, "train/loss") == [(1, 1, 0), (2, 0.5, 0), (3, 1 / 3, 0)]
    params = rows.texts("params", run_id)
    assert params == {"optimizer.learning_rate": "0.1", "none": "None", "list": "[1, 2]"}
    tags = rows.texts("tags", run_id)
    assert tags["git_commit"] == "abc"
    assert tags["harness.id"] == "a"
    assert "python -m src.train" in tags["mlflow.note.content"]
    assert "Finished after 3 epochs and 150 updates" in tags["mlflow.note.content"]
    lines = [line for _, line in journal.read(folder / journal.FILE_NAME)]
    created = RunRecord.load(folder).created
    [times] = rows.query("SELECT start_time, end_time FROM runs")
    assert times == (created, lines[-1]["t"])
    stamps = {row[0] for row in rows.query("SELECT DISTINCT timestamp FROM metrics")}
    assert stamps <= {line["t"] for line in lines}
    [(dataset, digest, schema)] = rows.query("SELECT name, digest, dataset_schema FROM datasets")
    assert (dataset, digest) == ("digits", "ab" * 16)
    assert json.loads(json.loads(schema)["mlflow_tensorspec"]["features"])
    state = load_delivery(folder)
    assert (state["run_id"], state["status"], state["error"]) == (run_id, "delivered", None)
    assert outstanding(folder) == {}


def test_delivering_again_and_from_the_start_doubles_nothing(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none", dataset=DATASET, params={"p": 1})
    for _ in range(2):
        assert deliver(folder) == ""
        (folder / "delivery.json").unlink()
    copy = outputs / "copy"
    shutil.copytree(folder, copy)
    assert deliver(copy) == ""
    [(run_id, _, _)] = rows.runs()
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)
    assert len(rows.query("SELECT * FROM inputs WHERE destination_id = ?", run_id)) == 1


def test_nan_and_infinity_reach_the_store_in_the_form_it_takes(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, epochs=0, end=None, artifacts="none")
    tracker = Tracker(folder, record)
    values = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    tracker.updates(1, values, values)
    tracker.metrics(1, {"val/loss": math.nan, "train/loss": math.inf})
    tracker.end("FAILED", "the loss became nan at update 2", 2, 1)
    assert deliver(folder) == ""
    [(run_id, _, status)] = rows.runs()
    assert status == "FAILED"
    history = Store(uri).client.get_metric_history(run_id, "update/loss")
    largest = 1.7976931348623157e308
    assert [m.value for m in history[:1]] == [1]
    assert math.isnan(history[1].value)
    assert [m.value for m in history[2:]] == [largest, -largest]
    assert "nan at update 2" in rows.texts("tags", run_id)["mlflow.note.content"]


def test_long_and_odd_params_are_whole_in_an_artifact(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    long = "x" * 9000
    params = {"long": long, "bad*key": 1, **{f"k{i}": "y" * 6000 for i in range(230)}}
    write_run(folder, uri, params=params, tags={"t": long}, artifacts="none")
    assert deliver(folder) == ""
    [(run_id, _, _)] = rows.runs()
    held = rows.texts("params", run_id)
    assert len(held) == 232
    assert held["bad_key"] == "1"
    assert "params_full.json" in held["long"]
    artifacts = next((outputs / "mlartifacts").glob(f"*/{run_id}/artifacts"))
    full = json.loads((artifacts / "params_full.json").read_text())
    assert full["long"]["value"] == long
    assert full["bad*key"] == {"logged_as": "bad_key", "value": 1}
    assert json.loads((artifacts / "tags_full.json").read_text())["t"]["value"] == long


def test_artifacts_arrive_and_bad_names_do_not_stop_the_rest(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end=None, artifacts="none")
    (outputs / "secret").write_text("secret")
    tracker = Tracker(folder, record)
    tracker.artifact_path("deep/er/file.txt").write_text("text")
    tracker.artifact("deep/er/file.txt")
    tracker.journal.append("artifact", path="../../../secret")
    tracker.artifact("missing.txt")
    tracker.end("FINISHED", "", 150, 3)
    assert deliver(folder) == ""
    [(run_id, _, status)] = rows.runs()
    assert status == "FINISHED"
    artifacts = next((outputs / "mlartifacts").glob(f"*/{run_id}/artifacts"))
    assert [p.relative_to(artifacts).as_posix() for p in artifacts.rglob("*.*")] == [
        "deep/er/file.txt"
    ]
    error = load_delivery(folder)["error"]
    assert "secret" in error
    assert "missing.txt is missing" in error


def test_a_resumed_run_goes_on_in_the_same_run(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, epochs=2, end="KILLED", artifacts="none")
    deliver(folder)
    assert rows.runs()[0][2] == "KILLED"
    tracker = Tracker(folder, record)
    tracker.begin(update=70)
    tracker.updates(71, losses(80, 71), np.full(80, 0.1, np.float32))
    tracker.params({"epochs": 3})
    tracker.metrics(2, {"train/loss": 0.5, "val/loss": 1.0})
    deliver(folder)
    assert rows.runs()[0][2] == "RUNNING"
    tracker.metrics(3, {"train/loss": 1 / 3})
    tracker.end("FINISHED", "", 150, 3)
    assert deliver(folder) == ""
    [(run_id, _, status)] = rows.runs()
    assert status == "FINISHED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)
    assert len(rows.metrics(run_id, "train/loss")) == 3
    assert "resumed at update 70" in rows.texts("tags", run_id)["mlflow.note.content"]


def test_a_changed_param_becomes_a_tag(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end=None, params={"epochs": 2}, artifacts="none")
    tracker = Tracker(folder, record)
    tracker.params({"epochs": 3, "new": 1})
    tracker.end("FINISHED", "")
    assert deliver(folder) == ""
    [(run_id, _, _)] = rows.runs()
    assert rows.texts("params", run_id) == {"epochs": "2", "new": "1"}
    assert rows.texts("tags", run_id)["changed.epochs"] == "3"


def test_one_process_delivers_a_folder_at_a_time(outputs, uri):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    first = FolderDelivery(folder)
    with pytest.raises(FolderBusyError):
        FolderDelivery(folder)
    first.close()
    FolderDelivery(folder).close()


def test_a_disagreement_is_a_tag(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end="KILLED", artifacts="none")
    texts: list[str] = []
    tracker = Tracker(folder, record, warn=texts.append)
    tracker.begin(update=100)
    for first in (101, 121):
        tracker.updates(first, losses(20) * 2, np.full(20, 0.1, np.float32))
    tracker.end("FINISHED", "", 150, 3)
    assert len(texts) == 1
    assert "update/loss at step 101" in texts[0]
    deliver(folder)
    [(run_id, _, _)] = rows.runs()
    assert rows.texts("tags", run_id)["harness.not_deterministic"] == texts[0]
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)


def test_an_experiment_that_was_deleted_is_named(outputs, uri):
    store = Store(uri)
    store.client.delete_experiment(store.experiment("gone"))
    folder = outputs / "runs" / "a"
    write_run(folder, uri, experiment="gone", artifacts="none")
    deliver(folder)
    assert "'gone' is deleted" in load_delivery(folder)["error"]


def test_a_run_of_nothing_but_its_record_waits(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    RunRecord(id="a", name="a", tracking_uri=uri).claim(folder)
    assert deliver(folder) == ""
    assert rows.runs() == []


def test_largest_arrays_go_in_parts(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, epochs=1, updates=12_345, artifacts="none")
    assert deliver(folder) == ""
    [(run_id, _, _)] = rows.runs()
    assert rows.metrics(run_id, "update/loss") == exact_updates(12_345)
    assert len(rows.metrics(run_id, "update/learning_rate")) == 12_345

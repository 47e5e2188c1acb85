"""The parent of a sweep, its table and its pictures."""

import csv
import json
import shutil

import pytest

from src.tracking import sweep_pictures, sweep_table
from src.tracking.children import point_to
from src.tracking.outstanding import load_delivery
from src.tracking.record import RunRecord
from src.tracking.tracker import Tracker
from tests.tracking.runs import deliver, write_run

KEYS = ["optimizer.learning_rate", "data.batch_size"]


def row(number, rate, size, objective, status="FINISHED", **more):
    values = dict(zip(KEYS, (rate, size), strict=True))
    return {
        "number": number,
        "name": f"learning_rate={rate} batch_size={size}",
        "status": status,
        "values": values,
        "objective": objective,
        "metrics": {"val/loss": objective, "val/accuracy": 0.5} if objective else {},
        **more,
    }


RESULTS = {
    "objective": "val/loss",
    "direction": "min",
    "keys": KEYS,
    "rows": [
        row(0, 0.1, 32, 0.5),
        row(1, 0.1, 64, 0.25),
        row(2, 0.01, 32, None, "FAILED"),
        row(3, 0.01, 64, 0.75),
    ],
}


def write_sweep(folder, uri, results=RESULTS):
    parent = RunRecord(id="s", name="sweep", kind="sweep", experiment="research", tracking_uri=uri)
    parent.claim(folder)
    tracker = Tracker(folder, parent)
    tracker.begin()
    for number in range(len(results["rows"])):
        write_run(folder / str(number), uri, parent="..", artifacts="light")
    tracker.artifact_path("results.json").write_text(json.dumps(results))
    tracker.artifact("results.json")
    tracker.end("FAILED", "3 of 4 jobs finished")


def test_the_parent_holds_table_picture_and_the_best_child(outputs, uri, rows):
    folder = outputs / "sweeps" / "s"
    write_sweep(folder, uri)
    children = [folder / str(number) for number in range(4)]
    assert deliver(*children, folder) == ""  # whichever comes first
    ids = {folder.name: load_delivery(folder)["run_id"] for folder in [folder, *children]}
    for child in children:
        assert rows.texts("tags", ids[child.name])["mlflow.parentRunId"] == ids["s"]
    tags = rows.texts("tags", ids["s"])
    assert tags["best_run_id"] == ids["1"]
    assert tags["best_run_name"] == "learning_rate=0.1 batch_size=64"
    assert rows.metrics(ids["s"], "best/val/loss") == [(0, 0.25, 0)]
    note = tags["mlflow.note.content"]
    assert "4 jobs" in note
    assert "1 of them did not finish" in note
    assert "| 1 | learning_rate=0.1 batch_size=64 |" in note
    artifacts = next(outputs.glob(f"mlartifacts/*/{ids['s']}/artifacts"))
    found = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*.*")}
    assert found == {
        "results.json",
        "table.csv",
        "table.md",
        "table.html",
        "pictures/objective.png",
    }
    with (artifacts / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [line["job"] for line in table] == ["1", "0", "3", "2"]
    assert table[0]["optimizer.learning_rate"] == "0.1"
    assert table[0]["best val/loss"] == "0.25"
    assert table[3]["status"] == "FAILED"


def test_the_best_child_may_have_its_run_in_an_earlier_sweep(outputs, uri, rows):
    folder, earlier = outputs / "sweeps" / "s", outputs / "sweeps" / "earlier" / "1"
    write_sweep(folder, uri)
    (folder / "1").rename(outputs / "moved")
    earlier.parent.mkdir()
    (outputs / "moved").rename(earlier)
    point_to(earlier, folder / "1")
    assert deliver(folder, earlier) == ""
    tags = rows.texts("tags", load_delivery(folder)["run_id"])
    assert tags["best_run_id"] == load_delivery(earlier)["run_id"] != ""


def test_a_child_copied_without_its_sweep_is_delivered_alone(outputs, uri, rows, tmp_path):
    folder = outputs / "sweeps" / "s"
    write_sweep(folder, uri)
    copy = tmp_path / "elsewhere" / "0"
    shutil.copytree(folder / "0", copy)
    assert deliver(copy) == ""
    [(run_id, name, status)] = rows.runs()
    assert (name, status) == ("run 0", "FINISHED")
    assert "mlflow.parentRunId" not in rows.texts("tags", run_id)


def test_a_sweep_without_any_result_ends_all_the_same(outputs, uri, rows):
    folder = outputs / "sweeps" / "s"
    write_sweep(folder, uri, {**RESULTS, "rows": []})
    assert deliver(folder) == ""
    assert rows.runs()[0][2] == "FAILED"


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_best_row_comes_first_and_nan_last(direction):
    results = {
        "direction": direction,
        "rows": [
            row(0, 1, 1, 2.0),
            row(1, 1, 1, float("nan")),
            row(2, 1, 1, 1.0),
            row(3, 1, 1, None),
        ],
    }
    ranked = [r["number"] for r in sweep_table.ranked(results)]
    assert ranked == ([2, 0, 1, 3] if direction == "min" else [0, 2, 1, 3])


def test_values_are_escaped(tmp_path):
    results = {**RESULTS, "rows": [row(0, "<b>|", 1, 1.0)]}
    sweep_table.write(results, tmp_path)
    assert "<b>|" not in (tmp_path / "table.html").read_text()
    assert "<b>\\|" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([(0.1, 32), (0.01, 32), (0.001, 32)], True),
        ([("relu", 32), ("tanh", 32)], True),
        ([(0.1, 32), (0.1, 64), (0.01, 32)], True),
        ([("relu", 32), ("tanh", None)], True),
        ([(0.1, 32)], False),
    ],
)
def test_a_picture_is_drawn_where_one_or_two_keys_vary(tmp_path, values, drawn):
    rows = [row(i, rate, size, 1.0 / (i + 1)) for i, (rate, size) in enumerate(values)]
    paths = sweep_pictures.of_sweep({**RESULTS, "rows": rows}, tmp_path)
    assert [path.name for path in paths] == (["objective.png"] if drawn else [])
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")

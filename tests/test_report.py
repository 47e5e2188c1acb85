"""What the terminal shows at the end of a run and of a sweep."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src import report
from src.tracking.shipping import Delivery


def run(folder: Path, **changes):
    """As much of a `Run` as a report reads."""
    values = {
        "metrics": {"train/loss": 0.5, "val/accuracy": 0.98765},
        "best": SimpleNamespace(value=0.25, epoch=3),
        "monitor": "val/loss",
        "status": "FINISHED",
        "reason": "trained 4 epochs",
        "stopped_early": False,
        "target": None,
        "folder": folder,
        "tracker": SimpleNamespace(record=SimpleNamespace(id="20261123-101500-abc123")),
    }
    return SimpleNamespace(**values | changes)


def delivery(**changes) -> Delivery:
    values: dict[str, Any] = {
        "delivered": True,
        "run_id": "f" * 32,
        "undelivered": {},
        "error": None,
        "runs": {},
    }
    return Delivery(**values | changes)


@pytest.fixture
def shown(capsys, monkeypatch, tmp_path):
    """The table as a mapping, seen from `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def show(*arguments) -> dict[str, str]:
        report.show_run(*arguments)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == ""
        width = lines[1].index("0.5000")
        return {line[:width].strip(): line[width:] for line in lines[1:]}

    return show


def test_a_run_without_tracking(shown, tmp_path):
    table = shown(run(tmp_path / "outputs" / "runs" / "x"), tmp_path / "outputs", None)
    assert table == {
        "train/loss": "0.5000",
        "val/accuracy": "0.9877",
        "best val/loss": "0.2500 at epoch 3",
        "run": "20261123-101500-abc123",
        "folder": "outputs/runs/x",
    }


def test_a_delivered_run_says_how_to_browse(shown, tmp_path):
    table = shown(run(tmp_path / "x"), tmp_path / "outputs", delivery())
    assert (table["run"], table["browse"]) == ("f" * 32, "make ui")
    elsewhere = shown(run(tmp_path / "x"), tmp_path / "my runs", delivery())
    assert elsewhere["browse"] == "make ui OUTPUTS='my runs'"
    assert "deliver later" not in table


def test_a_folder_outside_the_working_folder_is_absolute(shown):
    assert shown(run(Path("/data/x")), Path("/data"), None)["folder"] == "/data/x"


def test_what_is_undelivered_is_said_with_the_reason_and_the_command(shown, tmp_path):
    late = delivery(
        delivered=False, run_id=None, undelivered={"lines": 3, "metrics": 40}, error="refused"
    )
    table = shown(run(tmp_path / "x"), tmp_path / "outputs", late)
    assert table["undelivered"] == "3 lines, 40 metrics (refused)"
    assert table["deliver later"] == "python -m src.sync outputs=outputs"
    assert table["run"] == "20261123-101500-abc123"
    assert "browse" not in table


def test_how_a_run_ended_is_said_unless_it_finished(shown, tmp_path):
    failed = run(tmp_path, status="FAILED", reason="the loss became nan at update 7", best=None)
    table = shown(failed, tmp_path, None)
    assert table["failed"] == "the loss became nan at update 7"
    assert "go on" not in table
    killed = run(tmp_path, status="KILLED", reason="interrupted by signal 2 after update 7")
    table = shown(killed, tmp_path, None)
    assert table["killed"] == "interrupted by signal 2 after update 7"
    assert "resume=20261123-101500-abc123" in table["go on"]


def test_a_child_is_one_line(capsys, tmp_path):
    report.show_child("seed=1", run(tmp_path), 1.25)
    failed = run(tmp_path, status="FAILED", reason="the loss became nan at update 7")
    report.show_child("seed=2", failed, 0.5)
    assert capsys.readouterr().out.splitlines() == [
        "seed=1: train/loss 0.5000  val/accuracy 0.9877  (1.2 s)",
        "seed=2: FAILED: the loss became nan at update 7  (0.5 s)",
    ]


def row(number: int, objective: float | None, hidden: Any = None) -> dict:
    status = "FAILED" if objective is None else "FINISHED"
    reason = "" if status == "FINISHED" else "the loss became nan"
    return {
        "number": number,
        "objective": objective,
        "status": status,
        "reason": reason,
        "values": {"seed": number, "model.hidden": hidden},
        "epoch": 2 if objective is not None else None,
    }


@pytest.mark.parametrize(("direction", "expected"), [("min", [2, 0, 3, 1]), ("max", [0, 3, 2, 1])])
def test_the_best_job_stands_first_and_those_without_a_value_last(direction, expected):
    rows = [row(0, 0.5), row(1, None), row(2, -0.25), row(3, 0.5)]
    ranked = report.ranked({"direction": direction, "rows": rows})
    assert [one["number"] for one in ranked] == expected


def test_the_table_of_a_sweep(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = {
        "keys": ["seed", "model.hidden"],
        "objective": "val/loss",
        "direction": "min",
        "rows": [
            row(0, 0.5, [3]),
            row(1, None, "[4]"),
            row(2, 0.25, "[5]"),
        ],
    }
    folder = tmp_path / "outputs" / "sweeps" / "20261123-101500-abc123"
    report.show_sweep(results, folder, tmp_path / "outputs", None)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "seed model.hidden val/loss epoch status",
        "2 [5] 0.2500 2 finished",
        "0 [3] 0.5000 2 finished",
        "1 [4] failed: the loss became nan",
        "",
        "sweep 20261123-101500-abc123",
        "folder outputs/sweeps/20261123-101500-abc123",
    ]

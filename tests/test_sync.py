# ruff: noqa: F811 - fixtures are imported and then asked for by name
import shutil
import time

import pytest

from src import sync
from src.tracking import process
from src.tracking.outstanding import load_delivery
from src.tracking.record import RunRecord
from src.tracking.store import Store
from src.tracking.tracker import Tracker
from tests.tracking.conftest import database, outputs, prepared_database, rows, uri  # noqa: F401
from tests.tracking.runs import exact_updates, free_port, write_run


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = sync.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def dead(**changes):
    return {**process.identity(), "pid": 2**22 - 1, "pid_started": "b:1", **changes}


def unfinished(folder, uri, who):
    """A run without an end, last written by the process `who`."""
    record = RunRecord(
        id=folder.name, name="n", experiment="research", tracking_uri=uri, artifacts="none"
    )
    record.claim(folder)
    tracker = Tracker(folder, record)
    tracker.journal.append("begin", attempt=1, update=0, process=who)
    tracker.metrics(1, {"val/loss": 1.0})
    tracker.close()
    return tracker.journal


def test_everything_below_outputs_is_delivered_and_then_nothing_is_left(run, outputs, uri, rows):
    write_run(outputs / "runs" / "a", uri, artifacts="none")
    write_run(outputs / "runs" / "b", uri, artifacts="none", end="KILLED")
    code, out, _ = run(f"outputs={outputs}")
    assert code == 0
    assert out.count(": delivered as ") == 2
    assert sorted(status for _, _, status in rows.runs()) == ["FINISHED", "KILLED"]
    start = time.monotonic()
    code, out, _ = run(f"outputs={outputs}")
    assert code == 0
    assert out.count(": was delivered as ") == 2
    assert time.monotonic() - start < 1  # the store isn't even asked


def test_a_run_whose_process_is_gone_is_closed(run, outputs, uri, rows):
    unfinished(outputs / "runs" / "a", uri, dead())
    code, _, _ = run(outputs / "runs" / "a")
    assert (code, rows.runs()[0][2]) == (0, "KILLED")
    [(end, sign)] = rows.query("SELECT end_time, start_time FROM runs")
    assert end >= sign


def test_a_run_that_lives_is_left_running(run, outputs, uri, rows):
    unfinished(outputs / "runs" / "a", uri, process.identity())
    code, out, _ = run(outputs / "runs" / "a")
    assert (code, rows.runs()[0][2]) == (0, "RUNNING")
    assert "has not ended" in out
    code, out, _ = run(outputs / "runs" / "a", "close=true")
    assert (code, rows.runs()[0][2]) == (0, "RUNNING")


def test_a_run_of_another_machine_is_closed_only_when_told(run, outputs, uri, rows):
    unfinished(outputs / "runs" / "a", uri, dead(host="elsewhere"))
    code, out, _ = run(outputs / "runs" / "a")
    assert (code, rows.runs()[0][2]) == (0, "RUNNING")
    assert "close=true" in out
    code, out, _ = run(outputs / "runs" / "a", "close=true")
    assert (code, rows.runs()[0][2]) == (0, "KILLED")


def test_a_copy_and_the_original_make_one_run(run, outputs, uri, rows, tmp_path):
    write_run(outputs / "runs" / "a", uri, artifacts="none")
    shutil.copytree(outputs / "runs" / "a", tmp_path / "copy")
    assert run(tmp_path / "copy")[0] == 0
    assert run(outputs / "runs" / "a")[0] == 0
    [(run_id, _, _)] = rows.runs()
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)


def test_a_run_is_named_by_its_id_and_a_child_brings_its_sweep(run, outputs, uri, rows):
    sweep = RunRecord(id="s", name="sweep", kind="sweep", experiment="research", tracking_uri=uri)
    sweep.claim(outputs / "sweeps" / "s")
    tracker = Tracker(outputs / "sweeps" / "s", sweep)
    tracker.begin()
    tracker.end("FINISHED", "")
    write_run(outputs / "sweeps" / "s" / "0", uri, parent="..", artifacts="none")
    code, out, _ = run(outputs / "sweeps" / "s" / "0", f"outputs={outputs}")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == ["s", "s/0"]
    assert len(rows.runs()) == 2
    assert run("s", f"outputs={outputs}", "again=true")[0] == 0
    assert len(rows.runs()) == 2


def test_what_stays_undelivered_gives_exit_code_1(run, outputs):
    address = f"http://127.0.0.1:{free_port()}"
    write_run(outputs / "runs" / "a", address, artifacts="none")
    code, out, _ = run(outputs / "runs" / "a", "timeout=2")
    assert code == 1
    assert "UNDELIVERED" in out
    assert "306 metrics" in out


def test_a_run_that_was_not_tracked_is_delivered_where_asked(run, outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, None, artifacts="none")
    code, out, _ = run(folder)
    assert code == 0
    assert "not tracked" in out
    assert rows.runs() == []
    assert run(folder, f"uri={uri}")[0] == 0
    assert load_delivery(folder)["run_id"] == rows.runs()[0][0]


def test_a_run_lost_in_the_store_is_delivered_again_when_told(run, outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    run(folder)
    client = Store(uri).client
    client.delete_run(rows.runs()[0][0])
    assert run(folder, "again=true")[0] == 0
    assert [status for _, _, status in rows.runs()] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "nowhere is no run"),
        (["outptus=x"], "unknown setting 'outptus'"),
        (["again=yes"], "again=yes: allowed are true and false"),
        (["timeout=soon"], "timeout=soon"),
        (["timeout=-1"], "timeout=-1"),
        (["outputs=nowhere"], "outputs=nowhere is not a folder"),
    ],
)
def test_wrong_input_is_one_short_message(run, arguments, text):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {text}")
    assert err.count("\n") == 1


def test_a_damaged_record_is_named_and_the_others_are_delivered(run, outputs, uri, rows):
    (outputs / "runs" / "a").mkdir(parents=True)
    (outputs / "runs" / "a" / "run.json").write_text("{")
    write_run(outputs / "runs" / "b", uri, artifacts="none")
    code, out, _ = run(f"outputs={outputs}")
    assert code == 1
    assert "a/run.json can't be read" in out
    assert "b: delivered as " in out
    assert [name for _, name, _ in rows.runs()] == ["run b"]

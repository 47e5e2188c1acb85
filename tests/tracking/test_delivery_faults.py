"""Stores that fail, processes that die, files that were damaged: nothing is lost or doubled."""

import json
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from src import locks
from src.tracking import journal, sqlite_file, sqlite_rows
from src.tracking.closing import close
from src.tracking.drain import drain
from src.tracking.outstanding import load_delivery
from src.tracking.pump import FIRST_PAUSE, Gate, Pump
from src.tracking.sqlite_store import SqliteStore
from src.tracking.store import Store, StoreError
from src.tracking.tracker import Tracker
from tests.tracking.runs import Rows, deliver, exact_updates, write_run

DATASET = {"name": "digits", "digest": "ab" * 32, "source": "made up", "input_shape": [4]}


def test_a_lost_answer_to_create_run_makes_no_second_run(outputs, uri, rows, monkeypatch):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    monkeypatch.setattr(sqlite_rows, "KNOWN_SCHEMAS", set())
    real = Store.create_run
    answers = []

    def lose(self, *arguments):
        answers.append(real(self, *arguments))
        if len(answers) == 1:
            raise StoreError("connection reset", permanent=False)
        return answers[-1]

    monkeypatch.setattr(Store, "create_run", lose)
    assert deliver(folder) == ""
    assert len(answers) == 1
    assert len(rows.runs()) == 1


def broken_once(real, broken):
    """`real`, which the first time is carried out but raises."""

    def call(*arguments, **keywords):
        result = real(*arguments, **keywords)
        if real not in broken:
            broken.add(real)
            raise StoreError("connection cut", permanent=False)
        return result

    return call


CALLS = ("experiment", "create_run", "log", "log_dataset", "upload", "set_status", "flush")


@pytest.fixture(params=["rows", "api"])
def kind(request, monkeypatch):
    """Both ways to write to SQLite: its tables, and MLflow's interface as for any other store."""
    if request.param == "rows":
        return SqliteStore
    monkeypatch.setattr(sqlite_rows, "KNOWN_SCHEMAS", set())
    return Store


def test_every_call_may_fail_after_it_was_carried_out(outputs, uri, rows, monkeypatch, kind):
    """Each call on the store commits and then breaks once; the run is the same as ever."""
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end=None, artifacts="full", dataset=DATASET, params={"p": 1})
    tracker = Tracker(folder, record)
    tracker.artifact_path("x.txt").write_text("x")
    tracker.artifact("x.txt")
    tracker.end("FINISHED", "", 150, 3)
    broken: set[object] = set()
    for name in CALLS:
        monkeypatch.setattr(kind, name, broken_once(getattr(kind, name), broken))
    monkeypatch.setattr("src.tracking.pump.FIRST_PAUSE", 0.01)
    assert deliver(folder) == ""
    assert len(broken) == len(CALLS)
    [(run_id, _, status)] = rows.runs()
    assert status == "FINISHED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)
    assert len(rows.query("SELECT * FROM inputs WHERE destination_id = ?", run_id)) == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing below catches it."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_call_on_the_store_nothing_is_lost_or_doubled(
    outputs, uri, rows, monkeypatch, when, kind
):
    calls, fatal = 0, 0

    def deadly(real):
        def call(*arguments, **keywords):
            nonlocal calls
            calls += 1
            deadly = calls == fatal
            if deadly and when == "before":
                raise Killed
            result = real(*arguments, **keywords)
            if deadly:
                raise Killed
            return result

        return call

    for name in CALLS:
        monkeypatch.setattr(kind, name, deadly(getattr(kind, name)))
    killed = True
    while killed:
        calls, fatal, killed = 0, fatal + 1, False
        folder = outputs / "runs" / str(fatal)
        record = write_run(folder, uri, end=None, artifacts="none", dataset=DATASET)
        tracker = Tracker(folder, record)
        tracker.artifact_path("x.txt").write_text("x")
        tracker.artifact("x.txt")
        tracker.end("FINISHED", "", 150, 3)
        while load_delivery(folder).get("status") != "delivered":
            pump = Pump(report=lambda event: None)
            pump.add(folder)
            try:
                drain(pump, time.monotonic() + 60, 30, await_writers=False)
            except Killed:
                killed = True
                for gate in pump.gates.values():
                    if gate.store is not None:
                        gate.store.abandon()  # as the end of the process would
            pump.close()
    assert fatal > 7
    assert len(rows.runs()) == fatal
    for run_id, _, status in rows.runs():
        assert status == "FINISHED"
        assert rows.metrics(run_id, "update/loss") == exact_updates(150)
        assert len(rows.query("SELECT * FROM inputs WHERE destination_id = ?", run_id)) == 1


def test_a_store_made_anew_gets_everything(outputs, uri, database, prepared_database):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end="KILLED", artifacts="none")
    deliver(folder)
    other = outputs / "other.db"
    shutil.copyfile(prepared_database, other)
    assert deliver(folder, uri=f"sqlite:///{other}") == ""
    [(run_id, _, status)] = Rows(other).runs()
    assert status == "KILLED"
    assert len(Rows(other).metrics(run_id, "update/loss")) == 150
    with Tracker(folder, record).journal as writer:
        writer.append("begin", attempt=2, update=150)
    with sqlite3.connect(other) as connection:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            connection.execute(f"DELETE FROM {table}")
    assert deliver(folder, uri=f"sqlite:///{other}") == ""
    [(again, _, _)] = Rows(other).runs()
    assert again != run_id
    assert len(Rows(other).metrics(again, "update/loss")) == 150


@pytest.mark.parametrize("lost", ["shorter", "other"])
def test_a_cursor_that_does_not_fit_the_journal_starts_again(outputs, uri, rows, lost):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    deliver(folder)
    path = folder / journal.FILE_NAME
    raw = path.read_bytes().splitlines(keepends=True)
    if lost == "shorter":
        path.write_bytes(b"".join(raw[:4]))
        close(folder)
    else:
        state = load_delivery(folder)
        state["cursor"] -= 5
        (folder / "delivery.json").write_text(json.dumps({**state, "status": "delivering"}))
    assert deliver(folder) == ""
    [(run_id, _, _)] = rows.runs()
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)


def test_a_damaged_line_stops_with_its_number_after_what_is_before_it(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    path = folder / journal.FILE_NAME
    raw = path.read_bytes().splitlines(keepends=True)
    raw[3] = (b"1" if raw[3][:1] == b"0" else b"0") + raw[3][1:]  # of its checksum
    path.write_bytes(b"".join(raw))
    deliver(folder)
    assert "line 4" in load_delivery(folder)["error"]
    [(run_id, _, status)] = rows.runs()
    assert status == "RUNNING"
    assert len(rows.metrics(run_id, "update/loss")) == 50


@pytest.mark.parametrize(
    "damage", [{"cursor": "far"}, {"cursor": -1}, {"seq": []}, {"part": None, "run_id": 7}, []]
)
def test_a_damaged_memory_of_the_delivery_starts_it_again(outputs, uri, rows, damage):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    deliver(folder)
    state = {**load_delivery(folder), "status": "delivering", **damage} if damage else damage
    (folder / "delivery.json").write_text(json.dumps(state))
    assert deliver(folder) == ""
    [(run_id, _, status)] = rows.runs()
    assert status == "FINISHED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(150)


def test_a_store_that_takes_a_little_each_time_is_not_given_up(outputs, uri, rows, monkeypatch):
    """Every second call fails: what the calls between them bring is progress, not an outage."""
    folder = outputs / "runs" / "a"
    write_run(folder, uri, epochs=40, updates=1, end=None, artifacts="none")
    with journal.Journal(folder / journal.FILE_NAME) as writer:
        for number in range(20):  # single steps, each with an answer of its own
            (folder / "artifacts").mkdir(exist_ok=True)
            (folder / "artifacts" / f"{number}.txt").write_text("x")
            writer.append("artifact", path=f"{number}.txt")
        writer.append("end", status="FINISHED", reason="", update=40, epoch=40)
    monkeypatch.setattr(sqlite_rows, "KNOWN_SCHEMAS", set())
    monkeypatch.setattr("src.tracking.pump.FIRST_PAUSE", 0.01)
    real, failed = Store.upload, set()

    def upload(self, run_id, path, place):
        if path not in failed:
            failed.add(path)
            raise StoreError("answers 500", permanent=False)
        time.sleep(0.02)
        real(self, run_id, path, place)

    monkeypatch.setattr(Store, "upload", upload)
    assert deliver(folder, grace=0.2) == ""
    assert len(failed) == 20
    [(_, _, status)] = rows.runs()
    assert status == "FINISHED"


def test_a_store_that_fails_at_another_request_each_time_is_not_given_up():
    """Of a step of many requests each may fail once; the same one again is an outage."""
    gate = Gate("http://127.0.0.1:1")
    text = "API request to http://127.0.0.1:1/{} failed with exception at 0x7f{:x}"
    for number, request in enumerate(("search", "create", "log")):
        now = time.monotonic()
        gate.failed(text.format(request, number))
        assert gate.failing_since is not None
        assert gate.failing_since >= now
    since = gate.failing_since
    for number, request in enumerate(("search", "create", "search")):
        gate.failed(text.format(request, 9 + number))
        assert gate.failing_since == since
    assert gate.pause == 8 * FIRST_PAUSE
    gate.succeeded()
    gate.failed(text.format("search", 99))
    assert gate.pause == FIRST_PAUSE


def test_a_store_that_others_are_delivering_to_is_waited_for(monkeypatch):
    gate = Gate("sqlite:///x")
    gate.queued("held")
    assert (gate.failing_since, gate.error) == (None, "held")
    assert gate.retry_at - time.monotonic() < 1
    monkeypatch.setattr("src.tracking.pump.QUEUE_SECONDS", -1.0)
    gate.queued("held")
    assert gate.failing_since is not None


@pytest.mark.slow
def test_the_lock_of_another_shipper_is_no_outage_and_its_end_is_waited_for(outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    descriptor = locks.try_lock(sqlite_file.lock_path(Path(uri.removeprefix("sqlite:///"))))
    assert descriptor is not None
    release = threading.Timer(8, os.close, [descriptor])  # longer than a failing store has
    release.start()
    assert deliver(folder) == ""
    release.join()
    [(_, _, status)] = rows.runs()
    assert status == "FINISHED"

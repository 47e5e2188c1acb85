# ruff: noqa: F811 - fixtures are imported and then asked for by name
"""What the doctor finds in what killed processes left, what it mends, and what it never touches."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src import doctor, locks
from src.checkup.examination import examine
from src.engine.checkpoint import Checkpoints
from src.errors import UserError
from src.tracking import journal, sqlite_file
from src.tracking.outstanding import load_delivery
from src.tracking.store import Store
from tests.tracking.conftest import database, outputs, prepared_database, rows, uri  # noqa: F401
from tests.tracking.runs import deliver, exact_updates, write_run

# A process that writes a run as training does, and is killed at the place that its argument says.
TRAINER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from src.engine.checkpoint import Checkpoints
from src.tracking.record import RunRecord
from src.tracking.tracker import Tracker

def losses(count):  # as in tests.tracking.runs, whose import takes MLflow's second
    return (1.0 / np.arange(1, count + 1)).astype(np.float32)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

folder, uri, place = Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3]
if place == "claiming":
    os.link = die
record = RunRecord(
    id=folder.name, name="trained", experiment="research", tracking_uri=uri, artifacts="none"
)
record.claim(folder)
if place == "claimed":
    die()
tracker = Tracker(folder, record)
tracker.begin()
tracker.updates(1, losses(50), np.full(50, 0.1, np.float32))
checkpoints = Checkpoints(folder / "checkpoints")
for update in (25, 50):
    checkpoints.save(update, {"w": losses(update)}, None, {"epoch": 0})
if place == "saving":
    os.rename = Path.rename = die
    checkpoints.save(75, {"w": losses(75)}, None, {"epoch": 0})
if place == "writing":
    os.write(tracker.journal._descriptor, journal_line := b'0badc0de {"seq":2,"t":17')
if place == "living":
    os.write(tracker.journal._descriptor, b'0badc0de {"seq":2,"t":17')
    (folder / "checkpoints" / ".00000075.1").mkdir()
    (folder / "checkpoints" / "00000050" / "last.safetensors").write_bytes(b"half")
    print("here", flush=True)
    time.sleep(60)
die()
"""


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = doctor.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def trainer(root):
    """Start a process that writes the run in a folder; with `wait`, until it was killed."""
    started = []

    def start(folder, uri, place, wait=True):
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(folder), uri or "", place],
            cwd=root,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        if wait:
            assert process.wait(60) == -signal.SIGKILL
        else:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the locks, which an examination may take for a moment."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.suffix != ".lock"
    }


def aged(folder: Path) -> None:
    """A minute later."""
    then = time.time() - 60
    os.utime(folder, (then, then))


def test_where_all_is_well_nothing_is_said_or_changed(run, outputs, uri):
    write_run(outputs / "runs" / "a", uri, artifacts="none")
    deliver(outputs / "runs" / "a")
    before = content(outputs)
    assert run(f"outputs={outputs}") == (0, "1 run, all is well\n", "")
    assert run(f"outputs={outputs}", "fix=true") == (0, "1 run, all is well\n", "")
    assert content(outputs) == before


def test_an_end_that_another_process_delivers_is_told_and_left_to_it(run, outputs, uri):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    descriptor = locks.try_lock(folder / "delivery.lock")
    assert descriptor is not None
    note = "note: a: another process is delivering its end\n"
    assert run(f"outputs={outputs}", "fix=true") == (0, f"{note}1 run, all is well\n", "")
    assert load_delivery(folder) == {}
    os.close(descriptor)
    code, out, _ = run(f"outputs={outputs}")
    assert (code, "ended, undelivered" in out) == (1, True)


def test_half_a_saved_model_is_removed(run, outputs, uri):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    deliver(folder)
    (folder / ".model.aside" / "variables").mkdir(parents=True)
    code, out, _ = run(f"outputs={outputs}")
    assert (code, "left behind by interrupted saves: .model.aside" in out) == (1, True)
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    assert not (folder / ".model.aside").exists()


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("writing", ["24 bytes of a line torn by a kill", "to mend it: drop the torn line"]),
        ("saving", ["left behind by interrupted saves: .00000075."]),
    ],
)
def test_what_a_killed_process_left_is_listed_and_then_mended(
    run, outputs, uri, rows, trainer, place, found
):
    folder = outputs / "runs" / "a"
    trainer(folder, uri, place)
    before = content(outputs)
    code, out, err = run(f"outputs={outputs}")
    assert (code, err) == (1, "")
    gone = "a: recorded as going on, but its process is gone, undelivered: 2 lines, 100 metrics\n"
    assert gone in out
    assert all(text in out for text in found)
    assert out.endswith("1 run, 2 to mend; fix=true does it without asking\n")
    assert content(outputs) == before  # a list is a list

    code, out, _ = run(f"outputs={outputs}", "fix=true")
    assert (code, out.count("mended: a: ")) == (0, 2)
    assert out.endswith("1 run, all is well\n")
    [(run_id, _, status)] = rows.runs()
    assert status == "KILLED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(50)
    last = [line for _, line in journal.read(folder / "journal.jsonl")][-1]
    assert (last["status"], last["update"]) == ("KILLED", 50)
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["00000025", "00000050"]
    assert run(f"outputs={outputs}") == (0, "1 run, all is well\n", "")


def test_a_living_run_is_never_touched(run, outputs, uri, trainer):
    process = trainer(outputs / "runs" / "a", uri, "living", wait=False)
    before = content(outputs)
    for arguments in ([], ["fix=true"], [outputs / "runs" / "a", "fix=true"]):
        code, out, _ = run(f"outputs={outputs}", *arguments)
        assert (code, out) == (0, "note: 1 of them going on, left alone\n1 run, all is well\n")
        assert content(outputs) == before
    process.kill()
    process.wait()
    code, out, _ = run(f"outputs={outputs}")
    assert code == 1
    assert out.endswith("1 run, 4 to mend; fix=true does it without asking\n")


def test_a_run_that_comes_to_life_while_the_doctor_asks_is_left_alone(run, outputs, trainer):
    folder = outputs / "runs" / "a"
    trainer(folder, None, "saving")

    with journal.Journal(folder / "journal.jsonl"):
        held = examine(outputs, [])
        before = content(outputs)
        for finding in held.findings:
            assert finding.mend is not None
            with pytest.raises(UserError, match="nothing was changed"):
                finding.mend()
    assert len(held.findings) == 2
    assert content(outputs) == before


def test_a_damaged_checkpoint_is_set_aside(run, outputs, uri, trainer):
    folder = outputs / "runs" / "a"
    trainer(folder, None, "dying")
    path = folder / "checkpoints" / "00000050" / "last.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    code, out, _ = run(folder)
    assert code == 1
    assert "a: damaged checkpoint: " in out
    assert "00000050/last.safetensors: its content does not match its digest" in out
    assert "to mend it: set it aside as damaged-00000050" in out
    assert run(folder, "fix=true")[0] == 0
    assert (folder / "checkpoints" / "damaged-00000050" / "last.safetensors").is_file()
    newest = Checkpoints(folder / "checkpoints").newest(warn=pytest.fail)
    assert newest is not None
    assert newest.update == 25


def test_folders_that_were_only_half_claimed_are_removed(run, outputs, trainer):
    folder = outputs / "runs" / "a"
    trainer(folder, None, "claiming")
    (outputs / "runs" / "b").mkdir()
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    assert len(list(folder.iterdir())) == 1  # as young as this, it may still be at it
    aged(folder)
    code, out, _ = run(f"outputs={outputs}")
    assert (code, out.count("half claimed by a process that is gone")) == (1, 1)
    aged(outputs / "runs" / "b")
    code, out, _ = run(f"outputs={outputs}", "fix=true")
    assert (code, out.count("mended: ")) == (0, 2)
    assert list((outputs / "runs").iterdir()) == []


def test_a_claim_under_way_is_left_alone_however_long_it_takes(run, outputs):
    folder = outputs / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / f".run.json.{os.getpid()}.abcd1234").write_text("{")
    aged(folder)
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    assert len(list(folder.iterdir())) == 1


def test_a_job_whose_sweep_goes_on_is_waited_for(run, outputs, uri, trainer):
    process = trainer(outputs / "sweeps" / "s", uri, "living", wait=False)
    (outputs / "sweeps" / "s" / "0").mkdir()
    aged(outputs / "sweeps" / "s" / "0")
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    assert (outputs / "sweeps" / "s" / "0").is_dir()
    process.kill()
    process.wait()
    code, out, _ = run(f"outputs={outputs}")
    assert (code, "s/0: half claimed" in out) == (1, True)


def test_a_run_killed_before_it_began_is_closed(run, outputs, uri, rows, trainer):
    folder = outputs / "runs" / "a"
    trainer(folder, uri, "claimed")
    code, out, _ = run(f"outputs={outputs}")
    assert (code, "before its training began" in out) == (1, True)
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    [(_, _, status)] = rows.runs()
    assert status == "KILLED"
    [(started, ended)] = rows.query("SELECT start_time, end_time FROM runs")
    assert started == ended
    with journal.Journal(folder / "journal.jsonl") as again:
        assert again.attempts == 0  # resumed, it begins for the first time


@pytest.mark.parametrize("broken", ["{", "[]", "", '{"id": "a", "tags": 5}'])
def test_a_damaged_record_is_set_aside_and_kept(run, outputs, trainer, broken):
    folder = outputs / "runs" / "a"
    trainer(folder, None, "dying")
    (folder / "run.json").write_text(broken)
    code, out, _ = run(f"outputs={outputs}")
    assert (code, out.count("a/run.json")) == (1, 1)
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    assert (folder / "damaged-run.json").read_text() == broken
    assert (folder / "journal.jsonl").stat().st_size > 0


def test_what_only_a_person_can_mend_is_told_and_left(run, outputs, trainer):
    write_run(outputs / "runs" / "a", None)
    (outputs / "runs" / "a" / "run.json").unlink()
    trainer(outputs / "runs" / "b", None, "dying")
    path = outputs / "runs" / "b" / "journal.jsonl"
    raw = bytearray(path.read_bytes())
    raw[20] ^= 1
    path.write_bytes(raw)
    code, out, _ = run(f"outputs={outputs}", "fix=true")
    assert code == 1
    assert "a: it has a run's files but no run.json\n  by hand: put back a copy" in out
    assert "journal.jsonl line 1 (byte 0) is damaged" in out
    assert path.read_bytes() == bytes(raw)


def test_a_run_of_another_machine_is_not_judged(run, outputs, uri):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, end=None)
    raw = (folder / "journal.jsonl").read_bytes().splitlines()
    begin = journal.decode_line(raw[0])
    assert begin is not None
    begin["process"]["host"] = "elsewhere"
    (folder / "journal.jsonl").write_bytes(journal.encode_line(begin) + b"\n".join([*raw[1:], b""]))
    code, out, _ = run(f"outputs={outputs}", "fix=true")
    assert code == 0
    assert out.startswith("note: a has not ended, and ran on ")
    assert "close=true" in out


# -- the store


def test_runs_without_a_folder_are_closed_in_the_store(run, outputs, uri, rows):
    for name, host in (("a", None), ("b", "elsewhere")):
        tags = {"host": host} if host else {}
        write_run(outputs / "runs" / name, uri, artifacts="none", end=None, tags=tags)
        deliver(outputs / "runs" / name)
        shutil.rmtree(outputs / "runs" / name)
    client = Store(uri).client
    own = client.create_run("0", run_name="by hand")
    before = {name: status for _, name, status in rows.runs()}
    assert set(before.values()) == {"RUNNING"}
    code, out, _ = run(f"outputs={outputs}")
    assert (code, out.count("RUNNING, but its folder is gone")) == (1, 1)
    code, out, _ = run(f"outputs={outputs}", "fix=true")
    assert code == 0
    assert "delivered from elsewhere" in out
    after = {name: status for _, name, status in rows.runs()}
    assert after == {"run a": "KILLED", "run b": "RUNNING", own.info.run_name: "RUNNING"}
    [(end, last)] = rows.query(
        "SELECT end_time, (SELECT max(timestamp) FROM metrics WHERE run_uuid = runs.run_uuid)"
        " FROM runs WHERE name = 'run a'"
    )
    assert end == last


def test_a_store_that_was_put_back_gets_the_end_again(run, outputs, uri, rows):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    deliver(folder)
    Store(uri).client.update_run(load_delivery(folder)["run_id"], status="RUNNING")
    code, out, _ = run(f"outputs={outputs}")
    assert (code, "RUNNING in the store all the same" in out) == (1, True)
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    assert [status for _, _, status in rows.runs()] == ["FINISHED"]


def test_what_stays_undelivered_gives_exit_code_1(run, outputs):
    write_run(outputs / "runs" / "a", "http://127.0.0.1:1", artifacts="none")
    code, out, _ = run(f"outputs={outputs}", "fix=true", "timeout=1")
    assert code == 1
    assert "306 metrics" in out
    assert "a: tried to deliver it to http://127.0.0.1:1" in out


def test_an_interrupted_set_up_of_the_database_is_cleared(run, tmp_path):
    folder = tmp_path / "outputs"
    (folder / "runs").mkdir(parents=True)
    database = folder / "mlflow.db"
    (folder / ".mlflow.db.4711.new").write_bytes(b"half")
    (folder / ".mlflow.db.4711.new-journal").write_bytes(b"half")
    with locks.locked(sqlite_file.lock_path(database), 1):
        assert run(f"outputs={folder}", "fix=true")[0] == 0  # one that is under way
        assert len(list(folder.glob(".mlflow.db.*new*"))) == 2
    code, out, _ = run(f"outputs={folder}")
    assert (code, "interrupted set-up: .mlflow.db.4711.new, " in out) == (1, True)
    assert run(f"outputs={folder}", "fix=true")[0] == 0
    assert [path.name for path in folder.iterdir()] == ["runs"]


def test_a_lock_that_a_stopped_process_keeps_is_told(run, outputs, uri, root):
    folder = outputs / "runs" / "a"
    write_run(folder, uri, artifacts="none")
    program = "import sys, time; from pathlib import Path; from src import locks\n"
    program += "held = locks.try_lock(Path(sys.argv[1])); print('here', flush=True); time.sleep(60)"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "delivery.lock")],
        cwd=root,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert run(f"outputs={outputs}")[0] == 0  # being delivered by a process that goes on
        holder.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
        code, out, _ = run(f"outputs={outputs}", "fix=true")
        assert code == 1
        assert f"delivery.lock is held by process {holder.pid}, which is stopped" in out
        assert f"kill -KILL {holder.pid}" in out
    finally:
        holder.kill()
        holder.communicate()
    assert run(f"outputs={outputs}", "fix=true")[0] == 0  # delivered: its lock was released


# -- asking


@pytest.mark.parametrize(
    ("answers", "mended", "left"),
    [
        (["y", "n"], 1, 1),
        (["", ""], 0, 2),
        (["a"], 2, 0),
        (["n", "yes"], 1, 0),  # whoever closes a journal opens it, and so drops what is torn
        (["maybe", "N"], 0, 2),
        ([], 0, 2),
    ],
)
def test_at_a_terminal_each_finding_is_asked_for(
    run, outputs, trainer, monkeypatch, answers, mended, left
):
    trainer(outputs / "runs" / "a", None, "writing")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    given = iter(answers)

    def answer(prompt):
        assert prompt.endswith("? [y/N, a: all] ")
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)
    code, out, _ = run(f"outputs={outputs}")
    assert code == (1 if left else 0)
    assert list(given) == []
    assert out.count("mended: ") == mended
    assert (f"{left} to mend" in out) == bool(left)


def test_ctrl_c_at_the_question_leaves(run, outputs, trainer, monkeypatch):
    trainer(outputs / "runs" / "a", None, "writing")
    before = content(outputs)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    code, _, err = run(f"outputs={outputs}")
    assert (code, err) == (130, "\nstopped; what was mended stays mended\n")
    assert content(outputs) == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "nowhere is no run"),
        (["fxi=true"], "unknown setting 'fxi'"),
        (["fix=yes"], "fix=yes: allowed are true and false"),
        (["timeout=nan"], "timeout=nan"),
        (["outputs=nowhere"], "outputs=nowhere is not a folder"),
    ],
)
def test_wrong_input_is_one_short_message(run, arguments, text):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {text}")
    assert err.count("\n") == 1


def test_a_list_takes_neither_tensorflow_nor_mlflow(outputs, uri, trainer, root):
    trainer(outputs / "runs" / "a", uri, "saving")
    program = "import sys; from src import doctor; code = doctor.main(sys.argv[1:])\n"
    program += "print({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program, f"outputs={outputs}"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("set()\n")


def test_help_tells_the_settings_and_the_exit_codes(run, capsys):
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(text in out for text in ("fix=...", "outputs=...", "Exit codes: 0 all is well"))


@pytest.mark.slow
def test_a_whole_run_killed_with_its_shipper_is_mended(
    run, outputs, uri, rows, started, tiny, journal_of
):
    given = [g for g in tiny("epochs=100000", "checkpoint.every_seconds=0.05") if "track" not in g]
    process = started(*given, f"tracking.uri={uri}", f"outputs={outputs}")
    limit = time.monotonic() + 120
    while time.monotonic() < limit and not list(outputs.glob("runs/*/checkpoints/0*")):
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    shippers = [int(pid) for path in children for pid in path.read_text().split()]
    assert shippers
    for pid in [*shippers, process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait(30)
    [folder] = (outputs / "runs").iterdir()
    while locks.taken(folder / "delivery.lock"):  # a killed process holds it until it is gone
        time.sleep(0.01)
    assert run(f"outputs={outputs}")[0] == 1
    assert run(f"outputs={outputs}", "fix=true")[0] == 0
    [(run_id, _, status)] = rows.runs()
    assert status == "KILLED"
    held = journal_of(folder).updates["update/loss"]
    stored = np.array([value for _, value, _ in rows.metrics(run_id, "update/loss")], np.float32)
    np.testing.assert_array_equal(stored, held)
    assert json.loads((folder / "run.json").read_text())["id"] == folder.name

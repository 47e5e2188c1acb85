import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from src.errors import UserError
from src.tracking import process
from src.tracking.record import RunRecord


def test_a_record_is_read_back_as_written(tmp_path):
    record = RunRecord(
        id="a",
        name="ä name",
        parent="..",
        params={"seed": 0, "hidden": [1, 2], "none": None},
        tags={"k": "v"},
        dataset={"name": "digits"},
    )
    record.claim(tmp_path / "deep" / "a")
    assert RunRecord.load(tmp_path / "deep" / "a") == record


def test_a_folder_is_claimed_once(tmp_path):
    def claim(number):
        try:
            RunRecord(id=str(number), name="n").claim(tmp_path / "run")
        except UserError:
            return None
        return str(number)

    with ThreadPoolExecutor(16) as pool:
        winners = [name for name in pool.map(claim, range(64)) if name]
    with pytest.raises(UserError, match="already belongs to a run"):
        RunRecord(id="late", name="n").claim(tmp_path / "run")
    assert winners == [RunRecord.load(tmp_path / "run").id]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_where_a_record_is_the_files_that_belong_to_it_are_too(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def killed(*_):
        raise SystemExit

    monkeypatch.setattr("os.link", killed)
    with pytest.raises(SystemExit):
        RunRecord(id="a", name="n").claim(folder, {"config.yaml": "x: 1"})
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    monkeypatch.undo()
    with pytest.raises(UserError, match="already belongs to a run"):  # maybe just being claimed
        RunRecord(id="b", name="n").claim(folder, {"config.yaml": "x: 2"})
    assert (folder / "config.yaml").read_text() == "x: 1"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}', "null", "\0\0"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json"):
        RunRecord.load(tmp_path)


def test_a_folder_without_a_record_is_named(tmp_path):
    with pytest.raises(UserError, match="not a run's folder"):
        RunRecord.load(tmp_path)


def test_unknown_keys_of_later_versions_are_passed_over(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"id": "a", "name": "n", "later": 1}))
    record = RunRecord.load(tmp_path)
    assert record.id == "a"
    assert record.process == {}


def test_this_process_lives_and_a_reused_id_does_not_fool():
    me = process.identity()
    assert process.alive(me) is True
    assert process.alive({**me, "pid_started": "another boot:1"}) is False
    assert process.alive({**me, "host": "elsewhere"}) is None
    assert process.alive({}) is None
    assert process.alive(None) is None
    assert process.alive({**me, "pid": "1"}) is None


def test_a_process_that_ended_is_gone_even_before_it_is_waited_for():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = process.identity(child.pid)
    assert process.alive(who) is True
    child.kill()
    deadline = 1000
    while process.alive(who) and deadline:
        deadline -= 1
    assert process.alive(who) is False  # a zombie still
    child.communicate()
    assert process.alive(who) is False

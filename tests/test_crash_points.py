"""Crash points: each stands at one place and kills at the passing that is asked for."""

import ast
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from src import crash_points

ROOT = Path(__file__).resolve().parents[1]
PASSING = (
    "from src.crash_points import passing\n"
    "for number in range(1, 4):\n"
    "    print(number, flush=True)\n"
    "    passing('journal.append')\n"
    "    passing('journal.appended')\n"
)


def passings() -> Counter[str]:
    """How often each name stands in the sources, in a call of `passing`."""
    found: Counter[str] = Counter()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "crash_points.passing":
                [name] = node.args
                assert isinstance(name, ast.Constant), f"{path}: {ast.unparse(node)}"
                found[str(name.value)] += 1
    return found


def test_each_name_stands_at_one_place_and_each_place_has_a_name():
    assert passings() == Counter(dict.fromkeys(crash_points.NAMES, 1))
    assert len(set(crash_points.NAMES)) == len(crash_points.NAMES)


@pytest.mark.parametrize(
    ("where", "said", "code"),
    [
        ("journal.append:2", "1 2", -signal.SIGKILL),
        ("journal.appended:3", "1 2 3", -signal.SIGKILL),
        ("journal.append:4", "1 2 3", 0),
        ("journal.flush:1", "1 2 3", 0),
        (None, "1 2 3", 0),
    ],
)
def test_the_process_is_killed_at_that_passing_and_at_no_other(where, said, code):
    environment = {} if where is None else {crash_points.VARIABLE: where}
    done = subprocess.run(
        [sys.executable, "-c", PASSING], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()) == (code, said.split()), done.stderr


def test_unused_it_is_an_empty_function():
    assert crash_points.chosen({}) is crash_points.unarmed
    assert crash_points.unarmed.__code__.co_names == ()


@pytest.mark.parametrize("wrong", ["", "journal.append", "journal.append:0", "jurnal.append:1"])
def test_a_point_that_would_never_come_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        crash_points.chosen({crash_points.VARIABLE: wrong})
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: CRASH_POINT={wrong}: NAME:N")
    assert said.count("\n") == 1

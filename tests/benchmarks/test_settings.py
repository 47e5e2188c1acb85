from pathlib import Path

import pytest

from src.benchmarks.settings import parse
from src.errors import UserError

KNOWN = ("updates_mlp", "help", "run")


def test_everything_by_default_below_outputs():
    settings = parse([], KNOWN)
    assert settings.rows == KNOWN
    assert not settings.quick
    assert settings.outputs == Path("outputs").absolute()


@pytest.mark.parametrize("word", ["rows=help,updates_mlp", "rows=[help, updates_mlp]"])
def test_rows_come_in_the_order_of_the_table(word):
    assert parse([word], KNOWN).rows == ("updates_mlp", "help")


def test_all_rows_may_be_named(tmp_path):
    settings = parse(["rows=all", "quick=True", f"outputs={tmp_path}"], KNOWN)
    assert settings.rows == KNOWN
    assert settings.quick
    assert settings.outputs == tmp_path


def test_a_quick_benchmark_has_one_round():
    assert parse(["quick=true"], KNOWN).rounds(5) == 1
    assert parse(["quick=false"], KNOWN).rounds(5) == 5


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rows=helb", "rows=helb: there is no such row; there are updates_mlp, help, run"),
        ("rows=help,", "rows=: there is no such row"),
        ("row=help", "row: there is no such key; did you mean rows?"),
        ("rows=", "rows: give it as rows=VALUE"),
        ("quick", "quick: give it as quick=VALUE"),
        ("quick=1", "quick=1: allowed are true and false"),
    ],
)
def test_a_wrong_word_is_named(word, message):
    with pytest.raises(UserError) as raised:
        parse([word], KNOWN)
    assert str(raised.value).startswith(message)

import pytest

from src.benchmarks import table
from src.benchmarks.result import Figure, Line, Result, Target

MACHINE = {"processor": "abacus", "cores": "2", "load before": "0.10"}


def lines():
    ours, theirs = Figure.of([30, 10, 20], "updates/s"), Figure.of([10, 10, 10], "updates/s")
    return [
        Line("fast", ours, peer="fit", theirs=theirs, target=Target(">=", 1.5), check="loss 1, 1"),
        Line("slow", ours, peer="jax", theirs=theirs, target=Target(">=", 4)),
        Line("other", ours, peer="odd", theirs=theirs, target=Target(">=", 1), same=False),
        Line("alone", Figure.of([0.25], "s"), target=Target("<=", 0.8)),
    ]


def test_a_line_shows_median_spread_target_and_verdict():
    result = Result("row", "Row", lines())
    fast, slow, other, alone = (table.cells(result, line) for line in result.lines)
    ours, theirs = "20 updates/s (10 .. 30)", "10 updates/s (10 .. 10)"
    assert fast == ("fast", ours, "fit", theirs, "2x (1 .. 3)", ">= 1.5x", "yes")
    assert slow[-2:] == (">= 4x", "NO")
    assert other[-1] == "NOT THE SAME WORK"
    assert alone == ("alone", "0.25 s", "", "", "", "<= 0.8 s", "yes")


def test_the_report_is_a_markdown_table_with_all_that_was_not_measured():
    results = [
        Result("row", "Row", lines(), seconds=61.4),
        Result("gone", "Gone", skipped="it is not there"),
        Result("bad", "Bad", failed="it fell over"),
    ]
    text = table.render(results, MACHINE, quick=False)
    drawn = [line for line in text.splitlines() if line.startswith("|")]
    assert len(drawn) == 2 + 4
    assert len({len(line) for line in drawn}) == 1  # aligned
    assert all(line.count("|") == len(table.HEADINGS) + 1 for line in drawn)
    assert "- processor: abacus" in text
    assert "- gone: it is not there" in text
    assert "- bad: it fell over" in text
    assert "- fast, fit: loss 1, 1" in text
    assert "- row: 61 s" in text
    assert "busy" not in text


def test_a_busy_machine_and_a_quick_benchmark_are_said():
    busy = MACHINE | {"load before": "1.50"}
    assert "was busy" in table.render([], busy, quick=False)
    assert "These figures say nothing" in table.render([], MACHINE, quick=True)
    assert "Nothing was measured." in table.render([], MACHINE, quick=True)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (0.04321, "0.0432"), (5, "5"), (0, "0")]
)
def test_numbers_have_three_significant_digits(value, text):
    assert table.number(value) == text


def test_a_line_whose_alternative_is_reached_says_so():
    few, many = Figure.of([1], "updates/s"), Figure.of([9], "updates/s")
    result = Result(
        "row",
        "Row",
        [
            Line("rate", few, target=Target(">=", 2), alternatives="either"),
            Line(
                "ratio", many, peer="p", theirs=few, target=Target(">=", 2), alternatives="either"
            ),
        ],
    )
    assert [table.cells(result, each)[-1] for each in result.lines] == ["the other is", "yes"]

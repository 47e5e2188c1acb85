import pytest

from src.benchmarks import picture
from src.benchmarks.result import Figure, Line, Result, Target


def line(what="work", unit="s", **more):
    figures = Figure.of([2, 3, 4], unit), Figure.of([1, 1, 2], unit)
    return Line(what, figures[0], peer="peer", theirs=figures[1], **more)


def test_it_is_a_png(tmp_path):
    results = [
        Result("a", "A", [line(target=Target(">=", 2), unit="updates/s"), line(unit="updates/s")]),
        Result("b", "B", [line(target=Target("<=", 0.5)), line(), Line("alone", line().ours)]),
    ]
    path = tmp_path / "benchmark.png"
    assert picture.draw(results, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    "results",
    [
        [],
        [Result("row", "Row", skipped="it is not there")],
        [Result("row", "Row", [Line("alone", Figure.of([1], "s")), line(same=False)])],
    ],
)
def test_without_a_ratio_there_is_none(tmp_path, results):
    path = tmp_path / "benchmark.png"
    assert not picture.draw(results, path)
    assert not path.exists()


def test_the_direction_is_the_targets_else_that_of_the_unit():
    assert picture._direction(line(target=Target(">=", 2))) == ">="
    assert picture._direction(line(unit="updates/s")) == ">="
    assert picture._direction(line(unit="MiB")) == "<="

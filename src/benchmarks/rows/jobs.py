"""What each further job of a sweep costs, one by one and fused."""

import itertools
from collections.abc import Sequence

from src.benchmarks import commands
from src.benchmarks.bench import Bench, Row
from src.benchmarks.configuration import fused_launcher
from src.benchmarks.result import Figure, Line, Target
from src.benchmarks.rows.sweeps import sweep_command

SIZES = (1, 4, 16, 64)
FURTHER_FUSED_JOB = 0.04  # seconds


def _measure(bench: Bench) -> list[Line]:
    sizes = SIZES[:2] if bench.settings.quick else SIZES
    lines = _lines(bench, "one by one", sizes)
    if fused_launcher():
        lines += _lines(bench, "fused", sizes, "hydra/launcher=fused")
    return lines


def _lines(bench: Bench, kind: str, sizes: Sequence[int], *more: str) -> list[Line]:
    outputs = bench.work / f"jobs {kind}"
    seconds: dict[int, float] = {}
    if not bench.settings.quick:
        commands.run(sweep_command(outputs, {"seed": range(1)}, *more))  # makes the store
    for size in sizes:
        bench.say(f"{size} jobs {kind}")
        command = sweep_command(outputs, {"seed": range(size)}, *more)
        seconds[size] = commands.run(command).seconds
    lines = [
        Line(f"sweep of {size} {'job' if size == 1 else 'jobs'}, {kind}", Figure.of([took], "s"))
        for size, took in seconds.items()
    ]
    for fewer, size in itertools.pairwise(sizes):
        each = (seconds[size] - seconds[fewer]) / (size - fewer)
        last = kind == "fused" and size == SIZES[-1]
        target = Target("<=", FURTHER_FUSED_JOB) if last else None
        what = f"each further job from {fewer} to {size}, {kind}"
        lines.append(Line(what, Figure.of([each], "s"), target=target))
    return lines


ROW = Row("jobs", "The marginal cost of a job", _measure)

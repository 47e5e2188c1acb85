"""What each further job of a sweep costs, one by one and fused."""

import itertools
from collections.abc import Sequence
from functools import partial

from src.benchmarks import commands
from src.benchmarks.bench import Bench, Row
from src.benchmarks.configuration import fused_launcher
from src.benchmarks.result import Figure, Line, Target
from src.benchmarks.rounds import interleave
from src.benchmarks.rows.sweeps import sweep_command

SIZES = (1, 4, 16, 64)
FURTHER_FUSED_JOB = 0.04  # seconds
ROUNDS = {"one by one": 1, "fused": 5}  # a second of noise is 0.02 s for each further fused job


def _measure(bench: Bench) -> list[Line]:
    sizes = SIZES[:2] if bench.settings.quick else SIZES
    lines = _lines(bench, "one by one", sizes)
    if fused_launcher():
        lines += _lines(bench, "fused", sizes, "hydra/launcher=fused")
    return lines


def _lines(bench: Bench, kind: str, sizes: Sequence[int], *more: str) -> list[Line]:
    outputs = bench.work / f"jobs {kind}"
    if not bench.settings.quick:
        commands.run(sweep_command(outputs, {"seed": range(1)}, *more))  # makes the store

    def sweep(size: int) -> float:
        return commands.run(sweep_command(outputs, {"seed": range(size)}, *more)).seconds

    measured = {str(size): partial(sweep, size) for size in sizes}
    rounds = 1 if bench.settings.quick else ROUNDS[kind]
    seconds = interleave(measured, rounds, lambda text: bench.say(f"jobs {kind}: {text}"))
    lines = [
        Line(f"sweep of {size} {'job' if size == 1 else 'jobs'}, {kind}", Figure.of(took, "s"))
        for size, took in zip(sizes, seconds.values(), strict=True)
    ]
    for fewer, size in itertools.pairwise(sizes):
        pairs = zip(seconds[str(fewer)], seconds[str(size)], strict=True)
        each = [(more_took - took) / (size - fewer) for took, more_took in pairs]
        last = kind == "fused" and size == SIZES[-1]
        target = Target("<=", FURTHER_FUSED_JOB) if last else None
        what = f"each further job from {fewer} to {size}, {kind}"
        lines.append(Line(what, Figure.of(each, "s"), target=target))
    return lines


ROW = Row("jobs", "The marginal cost of a job", _measure)

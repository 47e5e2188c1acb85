"""Many processes started at one moment on a store that doesn't exist yet."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.torture.bench import TINY, Bench, runs
from tests.torture.facts import Facts, differences, facts, undelivered
from tests.torture.forks import ROOT, Ended
from tests.tracking.runs import Rows

LEAD_SECONDS = 0.3  # so that all are forked before the first may go


def start(bench: Bench, processes: int, *, train: bool) -> list[str]:
    """What is wrong after `processes` forks, all let go at one moment; train: they train too."""
    outputs = bench.outputs(database=False)
    with bench.clean(outputs):
        at = time.monotonic() + LEAD_SECONDS + 0.02 * processes
        if train:
            words = ["src.train", *TINY, "tracking.wait_seconds=300", f"outputs={outputs}"]
        else:
            words = ["tests.torture.start_only", str(outputs)]
        pids = [bench.zygote.spawn(*words, at=at) for _ in range(processes)]
        ended = [bench.zygote.wait(pid) for pid in pids]
        return _problems(outputs, ended, bench.tiny.facts if train else None)


def start_own(bench: Bench, processes: int) -> list[str]:
    """The same with `python -m src.train` as processes of their own."""
    outputs = bench.outputs(database=False)
    words = [*TINY, "tracking.wait_seconds=300", f"outputs={outputs}"]
    with bench.clean(outputs):
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "src.train", *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(processes)
        ]
        ended = []
        for process in started:
            said, _ = process.communicate()
            ended.append(Ended(process.returncode, said))
        return _problems(outputs, ended, bench.tiny.facts)


def _problems(outputs: Path, ended: list[Ended], expected: Facts | None) -> list[str]:
    problems = [f"exit code {e.code}: {e.said[-600:]}" for e in ended if e.code != 0]
    found, database = runs(outputs), outputs / "mlflow.db"
    if len(found) != len(ended):
        problems.append(f"{len(found)} folders of {len(ended)} processes")
    for run in found:
        problems += differences(facts(run), expected) if expected else []
        problems += undelivered(run, database)
    stored = Rows(database).runs()
    if len(stored) != len(ended) or {status for _, _, status in stored} != {"FINISHED"}:
        problems.append(f"the store has {len(stored)} runs of {len(ended)} processes")
    left = [path.name for path in outputs.glob(".mlflow.db.*new*")]
    return problems + [f"{name} was left behind" for name in left]


def section(
    bench: Bench, starts: int, processes: int, training: int, own: int
) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, 1, what is wrong) of each start."""
    for _ in range(starts):
        promise = f"{processes} starts at once: claim, journal, store, shipper (no TensorFlow)"
        yield promise, 1, start(bench, processes, train=False)
    for _ in range(training):
        yield (
            f"{processes} starts at once, training too (forks)",
            1,
            start(bench, processes, train=True),
        )
    if own:
        yield f"{own} starts at once, processes of their own", 1, start_own(bench, own)

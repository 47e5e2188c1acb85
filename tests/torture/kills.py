"""SIGKILL at seeded random instants: of a run, of its shipper, of both, and while it resumes."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.torture.bench import TINY, Bench, Reference, damaged, runs
from tests.torture.facts import facts
from tests.torture.forks import KILLED, ROOT, Ended

LONG = (*TINY, "epochs=60", "checkpoint.every_seconds=0.02")
MOST = 8  # kills of one run


class Kills:
    """Chains of kills, each of one run."""

    def __init__(self, bench: Bench, seed: int, short: bool = False) -> None:
        self.bench = bench
        self.random = random.Random(seed)
        self.overrides = (*LONG, "tracking.artifacts=none", "epochs=20") if short else LONG
        self.seconds = 0.0  # how long a run takes that is not killed
        self.real_seconds = 0.0  # as a process of its own, which imports TensorFlow
        self._reference: Reference | None = None

    @property
    def reference(self) -> Reference:
        """The run that is not killed."""
        if self._reference is None:
            began = time.monotonic()
            self._reference = self.bench.reference(*self.overrides)
            self.seconds = time.monotonic() - began
        return self._reference

    def chain(self, most: int, real: bool = False) -> tuple[int, list[str]]:
        """Kill a run and its resumes at most so often: (kills, what is wrong afterwards).

        real: as processes of their own.
        """
        reference, outputs = self.reference, self.bench.outputs()
        kills, problems = 0, []
        with self.bench.clean(outputs):
            while kills < most and not _finished(outputs):
                ended, killed = self._attempt(outputs, real)
                kills += killed
                problems += damaged(outputs)
                if ended.code not in (0, KILLED):
                    problems.append(f"exit code {ended.code}: {ended.said[-600:]}")
                    break
            problems += self.bench.go_on(outputs, reference)
        return kills, [f"after {kills} kills: {problem}" for problem in problems]

    def _attempt(self, outputs: Path, real: bool) -> tuple[Ended, int]:
        """Start or resume the run and kill at one instant; (how it ended, 1 if it was killed)."""
        who = self.random.choices(("run", "shipper", "both"), (6, 1, 3))[0]
        words = [*self.overrides, f"outputs={outputs}", "resume=auto"]
        process = None
        began = time.monotonic()
        if real:
            process = subprocess.Popen(
                [sys.executable, "-m", "src.train", *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            pid = process.pid
        else:
            pid = self.bench.zygote.spawn("src.train", *words)
        longest = (self.real_seconds or 4 * self.seconds + 8) if real else self.seconds
        time.sleep(self.random.uniform(0, longest))
        shippers = _children(pid)
        killed = 0
        for victim in [pid] * (who != "shipper") + shippers * (who != "run"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                killed = 1
        if process is None:
            ended = self.bench.zygote.wait(pid)
        else:
            said, _ = process.communicate()
            ended = Ended(process.returncode, said)
            if ended.code == 0:
                self.real_seconds = time.monotonic() - began
        return ended, int(ended.code == KILLED or (killed and who == "shipper"))


def _finished(outputs: Path) -> bool:
    found = runs(outputs)
    if not found or not (found[-1] / "journal.jsonl").exists():
        return False
    return facts(found[-1]).status == "FINISHED"


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def section(bench: Bench, kills: int, real: int, seed: int) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, kills, what is wrong) of chains until there were so many kills."""
    trials = Kills(bench, seed)
    for promise, wanted, own in (
        ("killed at a random instant, resumed, killed again", kills - real, False),
        ("the same, as processes of their own", real, True),
    ):
        done = 0
        while done < wanted:
            most = min(trials.random.randint(1, MOST), wanted - done)
            count, problems = trials.chain(most, own)
            done += count
            yield promise, count, problems

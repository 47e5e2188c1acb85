"""THE loop: epochs, validation, checkpoints, the end.

It trains the members of a program side by side: one member is a solo run, many are a fused sweep.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from src.augmentations.augmentation import row_numbers
from src.console import Console
from src.data.dataset import Split
from src.engine.program import Program
from src.interruption import Interruption
from src.run import Run

# Seconds that a call of the program should take: long enough to cost nothing, short enough that
# progress, signals and checkpoints stay lively.
CALL_SECONDS = 0.25


def fit(
    program: Program,
    runs: Sequence[Run],
    validation: Split,
    factors: np.ndarray,
    *,
    epochs: int,
    checkpoint_seconds: float,
    interruption: Interruption,
    console: Console,
) -> None:
    """Train every run to its end, from wherever it stands; `run.status` says how it ended.

    Args:
        program: one member for each of `runs`.
        runs: all at the same update.
        validation: evaluated after each epoch.
        factors: of the learning rates, `(updates, members)`, for the whole training.
        epochs: how many in all.
        checkpoint_seconds: time between two checkpoints while training.
        interruption: asked after each call of the program.
        console: told of the progress.
    """
    pace = Pace(program.capacity)
    update, epoch = runs[0].update, runs[0].epoch
    saved = time.monotonic()
    while epoch < epochs and _active(runs).any():
        program.shuffle(
            np.stack([row_order(run.seed, epoch, program.rows) for run in runs]),
            np.stack([row_numbers(run.seed, epoch, program.rows, program.numbers) for run in runs]),
        )
        base = np.array([run.learning_rate for run in runs])  # an epoch's end may change it
        end = (epoch + 1) * program.updates_per_epoch
        while update < end and _active(runs).any():
            count = pace.next(end - update)
            rates = (factors[update : update + count] * base).astype(np.float32)
            with pace:
                losses = program.run(
                    update - epoch * program.updates_per_epoch, rates, _active(runs)
                )
            for member in _active_members(runs):
                reported = {name: value[:, member] for name, value in program.reported.items()}
                runs[member].record_updates(
                    update + 1, losses[:, member], rates[:, member], reported
                )
            console.updated(update + 1, losses)
            update += count
            if interruption.signal or time.monotonic() - saved > checkpoint_seconds:
                # Not yet at an epoch's end: there the epoch's results come first.
                if update < end:
                    in_epoch = update - epoch * program.updates_per_epoch
                    _save(program, runs, in_epoch, _active_members(runs))
                    saved = time.monotonic()
                if interruption.signal:
                    break
        if update == end and _active(runs).any():
            epoch += 1
            _finish_epoch(program, runs, validation, epoch, console)
            if interruption.signal or time.monotonic() - saved > checkpoint_seconds:
                _save(program, runs, 0, _active_members(runs))
                saved = time.monotonic()
        if interruption.signal:
            for run in runs:
                run.end(
                    "KILLED",
                    f"interrupted by signal {interruption.signal} after update {run.update}",
                )
    if epoch >= epochs:
        _save(program, runs, 0, _active_members(runs))
    for run in runs:
        run.finish()


def _active(runs: Sequence[Run]) -> np.ndarray:
    return np.array([run.status is None for run in runs])


def _active_members(runs: Sequence[Run]) -> list[int]:
    return [member for member, run in enumerate(runs) if run.status is None]


def _finish_epoch(
    program: Program, runs: Sequence[Run], validation: Split, epoch: int, console: Console
) -> None:
    trained, validated = program.take_results(), program.evaluate(validation)
    members = _active_members(runs)
    for member in members:
        metrics = {f"train/{name}": value for name, value in trained[member].items()}
        metrics |= {f"val/{name}": value for name, value in validated[member].items()}
        if runs[member].record_epoch(epoch, metrics):
            runs[member].keep_best(program.evaluated(member))
    ended = set(members) - set(_active_members(runs))
    _save(program, runs, 0, sorted(ended))  # those that no later save reaches
    console.epoch_done(epoch, [runs[member].metrics for member in members])


def _save(
    program: Program, runs: Sequence[Run], update_in_epoch: int, members: Sequence[int]
) -> None:
    for member in members:
        runs[member].save(update_in_epoch, program.snapshot(member))


def row_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order of the rows in an epoch, `(rows,)` int32: a pure function of seed and epoch."""
    return (
        np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(rows).astype(np.int32)
    )


class Pace:
    """How many updates a call makes, so that it lasts about `CALL_SECONDS`.

    Time decides only where a call ends, never what an update computes. The first call of a program
    compiles it, so its duration is not taken for the program's pace.
    """

    def __init__(self, capacity: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.capacity = max(capacity, 1)
        self._clock = clock
        self._count = min(8, self.capacity)
        self._calls = 0

    def next(self, left: int) -> int:
        """The number of updates for the next call when `left` are left in the epoch."""
        self._now = min(self._count, left)
        # A last short call would cost a call's overhead for little: split evenly instead.
        if 0 < left - self._now < self._now // 4 and left <= self.capacity:
            self._now = left
        return self._now

    def __enter__(self) -> None:
        self._begin = self._clock()

    def __exit__(self, *error: object) -> None:
        seconds = self._clock() - self._begin
        self._calls += 1
        if self._calls > 1:
            ideal = self._now * CALL_SECONDS / max(seconds, 1e-6)
            self._count = int(min(max(ideal, 1), 4 * self._count, self.capacity))

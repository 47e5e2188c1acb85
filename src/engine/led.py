"""The chief's program: what it is told to do, the other workers do as well, at the same time."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from src.augmentations.augmentation import Augmentation
from src.data.dataset import Split
from src.engine import state
from src.engine.distributed import DistributedProgram
from src.engine.program import Program
from src.steps.step import Step
from src.workers.chief import Workers
from src.workers.follower import Chief

# In which the reason of a failed operation is looked for in the news of the workers.
NEWS_SECONDS = 10.0


class LedProgram(DistributedProgram):
    """A `DistributedProgram` that has the other workers follow.

    The number of updates of a call depends on time and on signals, which differ between processes:
    so the chief alone decides, and the others do what it does.

    Args:
        step: see `DistributedProgram`, also for the arguments left out here.
        workers: the others.
        splits: those that may be evaluated, by the names that the workers know them under.

    Raises:
        WorkerLost: by each method that trains or evaluates, when a worker is gone.
    """

    def __init__(
        self,
        step: Step,
        train: Split,
        batch_size: int,
        evaluation_batch_size: int,
        *,
        strategy: tf.distribute.Strategy,
        workers: Workers,
        splits: Mapping[str, Split],
        augmentation: Augmentation | None = None,
        notice: Callable[[str], None] = print,
    ) -> None:
        self._workers = workers
        self._splits = splits
        self._leading = True  # while it is made: the workers make theirs
        # An operation that waits for the lost worker would wait for ever.
        workers.on_loss = lambda reason: context.context().abort_collective_ops(
            tf.errors.UNAVAILABLE, reason
        )
        super().__init__(
            step,
            train,
            batch_size,
            evaluation_batch_size,
            strategy=strategy,
            augmentation=augmentation,
            notice=notice,
        )
        self._leading = False

    def shuffle(self, orders: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """Set the order of the rows and their random numbers; see `Program.shuffle`."""
        arrays = {"orders": orders} if numbers is None else {"orders": orders, "numbers": numbers}
        self._lead("shuffle", lambda: super(LedProgram, self).shuffle(orders, numbers), arrays)

    def run(self, start: int, rates: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Make updates; see `Program.run`."""
        return self._lead(
            "run",
            lambda: super(LedProgram, self).run(start, rates, active),
            {"rates": rates, "active": active},
            start=start,
        )

    def take_results(self) -> list[dict[str, float]]:
        """The metrics since they were last taken; see `Program.take_results`."""
        return self._lead("take_results", super().take_results)

    def evaluate(self, split: Split) -> list[dict[str, float]]:
        """The metrics over a whole split; see `Program.evaluate`."""
        [name] = [name for name, known in self._splits.items() if known is split]
        return self._lead("evaluate", lambda: super(LedProgram, self).evaluate(split), split=name)

    def snapshot(self, member: int = 0, owner: str = "") -> state.State:
        """A copy of the state; see `Program.snapshot`.

        Raises:
            RuntimeError: a worker no longer holds the same.
        """
        held = super().snapshot(member, owner)
        if not owner:
            for number, digest in self._workers.ask("digest").items():
                if digest != state.sha256(held):
                    raise RuntimeError(f"worker {number} no longer holds the state of the chief")
        return held

    def restore(self, values: state.State, member: int = 0) -> None:
        """Give the variables of all workers these values; see `Program.restore`."""
        super().restore(values, member)  # first: it refuses what doesn't fit
        self._workers.tell("restore", values)

    def _lead(
        self,
        kind: str,
        call: Callable[[], Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        **fields: Any,
    ) -> Any:
        """Do something after telling the workers to do it too."""
        if self._leading:  # a part of what they have been told of as a whole
            return call()
        self._workers.tell(kind, arrays, **fields)
        self._leading = True
        try:
            return call()
        except tf.errors.OpError:
            self._workers.check(NEWS_SECONDS)
            raise
        finally:
            self._leading = False


def follow(program: Program, chief: Chief, splits: Mapping[str, Split]) -> int:
    """Do what the chief does until it ends; returns the exit code that it ends with."""
    try:
        return _obey(program, chief, splits)
    except tf.errors.OpError:
        # Another worker is lost. The chief, which knows which, ends this process meanwhile.
        time.sleep(NEWS_SECONDS)
        raise


def _obey(program: Program, chief: Chief, splits: Mapping[str, Split]) -> int:
    while True:
        order, arrays = chief.next()
        match order["kind"]:
            case "shuffle":
                program.shuffle(arrays["orders"], arrays.get("numbers"))
            case "run":
                program.run(order["start"], arrays["rates"], arrays["active"])
            case "take_results":
                program.take_results()
            case "evaluate":
                program.evaluate(splits[order["split"]])
            case "restore":
                program.restore(arrays)
            case "digest":
                chief.answer(state.sha256(program.snapshot()))
            case "end":
                return int(order["code"])
            case kind:
                raise ValueError(f"the chief says {kind!r}")

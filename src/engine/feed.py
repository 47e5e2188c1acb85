"""Where a program's rows come from: here from tensors that are held as a whole.

`src.engine.streamed` puts rows that are read as they are used in their place.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from src.data.dataset import Split

# What the updates of a call report is held in a buffer of at most this length: XLA needs a fixed
# one.
CAPACITY = 4096


class HeldRows:
    """The part of a `Program` that knows where its rows are."""

    members: int
    rows: int
    numbers: int
    _traced: Callable[..., Any]
    _evaluate: Callable[..., Any]

    def shuffle(self, orders: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """Set the epoch's order of the rows and the random numbers that its augmentation uses.

        `orders` are row numbers `(members, rows)`, `numbers` are `(members, rows, self.numbers)`.
        """
        self._orders = tf.constant(orders, tf.int32)
        shape = (self.members, self.rows, self.numbers)
        self._numbers = tf.constant(np.zeros(shape) if numbers is None else numbers, tf.float32)

    def _hold(self, train: Split) -> None:
        """Keep what the updates gather their rows from."""
        self._x, self._y = tf.constant(train.x), tf.constant(train.y)
        self._evaluations: dict[int, tuple[Split, Callable[[], None]]] = {}

    def _longest_call(self) -> int:
        """How many updates a call makes at most, a smaller last one aside."""
        return CAPACITY

    def _feed(self, start: int, count: int) -> tuple[tf.Tensor, ...]:
        """What `_many_updates` is given for `count` updates from `start` on."""
        return self._orders, self._numbers, tf.constant(start)

    def _feed_last(self) -> tuple[tf.Tensor, ...]:
        """What `_partial_update` is given."""
        return self._orders, self._numbers

    def _at(self, start: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
        """The place of an update's batch among those that a call was given."""
        return start + update

    def _go_over(self, split: Split) -> None:
        """Add a whole split to the metrics."""
        if id(split) not in self._evaluations:
            x, y = tf.constant(split.x), tf.constant(split.y)
            # The split is kept as well, so that no other object gets its id.
            self._evaluations[id(split)] = (split, self._traced(lambda: self._evaluate(x, y)))
        self._evaluations[id(split)][1]()

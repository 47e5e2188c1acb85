"""The compiled program over rows that don't fit into memory.

It makes the very updates that `Program` makes: the batches of an epoch come from the same order of
rows, and the same traced loop goes over them. Only, a call is handed its batches as tensors, which
a `tf.data` pipeline reads ahead. A batch is read by its number in the epoch, so a run that goes on
in the middle of one reads nothing that came before.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from src.data.dataset import Split
from src.data.stored import StoredRows
from src.engine.program import Program

# Of the batches handed to one call, and as much again read ahead.
CALL_BYTES = 2**25
READERS = 4


class StreamedProgram(Program):
    """A `Program` whose x stays in its file. One member alone: others would each read their own.

    Attributes:
        readers: how many batches are read at once; the updates are the same for any number.
    """

    readers = READERS

    def _hold(self, train: Split) -> None:
        """Labels are held; rows are read for each call."""
        self._train_rows, self._labels = train.x, train.y
        self._batches: Iterator[Any] = iter(())
        self._pieces: dict[int, Callable[..., Any]] = {}
        self._next = -1  # the batch that the pipeline gives next; none before an epoch begins
        shape = (0, *train.x.shape[1:])
        self._x = tf.zeros(shape)
        self._y = tf.zeros((0, *train.y.shape[1:]), train.y.dtype)

    def _longest_call(self) -> int:
        row = 4 * int(np.prod(self._train_rows.shape[1:]))
        return max(min(super()._longest_call(), CALL_BYTES // (row * self.batch_size)), 1)

    def shuffle(self, orders: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """Set the epoch's order of the rows, and the random numbers of its augmentation."""
        self._order = orders[0]
        shape = (self.rows, self.numbers)
        self._row_numbers = np.zeros(shape, np.float32) if numbers is None else numbers[0]
        self._next = -1

    # -- from the pipeline to a call

    def _feed(self, start: int, count: int) -> tuple[tf.Tensor, ...]:
        x = np.zeros((self._buffer * self.batch_size, *self._train_rows.shape[1:]), np.float32)
        rows = np.zeros(len(x), np.int32)
        for number in range(count):
            place = slice(number * self.batch_size, (number + 1) * self.batch_size)
            x[place], rows[place] = self._read_batch(start + number)
        return (*self._tensors(x, rows), tf.constant(start))

    def _feed_last(self) -> tuple[tf.Tensor, ...]:
        return self._tensors(*self._read_batch(self.full_batches))

    def _tensors(self, x: np.ndarray, rows: np.ndarray) -> tuple[tf.Tensor, ...]:
        numbers = self._row_numbers[rows][None]
        return tf.constant(x), tf.constant(self._labels[rows]), tf.constant(numbers, tf.float32)

    def _read_batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a batch of the epoch, and their numbers."""
        if number != self._next:
            self._batches = iter(self._pipeline(number))
        self._next = number + 1
        return next(self._batches), self._rows_of(number)

    def _rows_of(self, number: int) -> np.ndarray:
        return self._order[number * self.batch_size : (number + 1) * self.batch_size]

    def _pipeline(self, first: int) -> Any:
        """The batches `first, first + 1, ...` of the epoch, as NumPy arrays."""

        def read(number: np.ndarray) -> np.ndarray:
            return self._train_rows[self._rows_of(int(number))]

        numbers = tf.data.Dataset.range(first, self.updates_per_epoch)
        return _read_ahead(numbers, read, self.readers, self._buffer)

    # -- what is traced

    @property
    def _signature(self) -> list[tf.TensorSpec]:
        length = self._buffer * self.batch_size
        return [
            tf.TensorSpec([length, *self._train_rows.shape[1:]], tf.float32),
            tf.TensorSpec([length, *self._labels.shape[1:]], self._labels.dtype),
            tf.TensorSpec([self.members, length, self.numbers], tf.float32),
            *super()._signature[2:],
        ]

    def _many_updates(self, x: tf.Tensor, y: tf.Tensor, *given: tf.Tensor) -> tf.Tensor:
        self._x, self._y = x, y  # of this call: what the loop gathers from
        return super()._many_updates(tf.range(x.shape[0])[None], *given)

    def _partial_update(self, x: tf.Tensor, y: tf.Tensor, *given: tf.Tensor) -> tf.Tensor:
        self._x, self._y = x, y
        return super()._partial_update(tf.range(x.shape[0])[None], *given)

    def _at(self, start: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
        return update

    # -- evaluation

    def _go_over(self, split: Split) -> None:
        """Hand a split to the metrics in pieces of whole batches, the last of what is left."""
        row = 4 * int(np.prod(split.x.shape[1:]))
        size = min(self.evaluation_batch_size, split.rows)
        piece = size * max(CALL_BYTES // (row * size), 1)
        starts = tf.data.Dataset.range(0, split.rows, piece)

        def read(start: np.ndarray) -> np.ndarray:
            return split.x[slice(int(start), int(start) + piece)]

        for number, x in enumerate(_read_ahead(starts, read, self.readers, 1)):
            given = tf.constant(x), tf.constant(split.y[number * piece : number * piece + len(x)])
            if len(x) not in self._pieces:
                signature = map(tf.TensorSpec.from_tensor, given)
                self._pieces[len(x)] = self._traced(self._evaluate, *signature)
            self._pieces[len(x)](*given)


def _read_ahead(numbers: Any, read: Any, readers: int, ahead: int) -> Any:
    """What `read` gives for each of `numbers`, in order: `readers` at once, `ahead` in advance."""
    made = numbers.map(
        lambda number: tf.numpy_function(read, [number], tf.float32, stateful=False),
        num_parallel_calls=readers,
        deterministic=True,
    )
    return made.prefetch(ahead).as_numpy_iterator()


def is_streamed(split: Split) -> bool:
    """Whether the split's rows stay in their file."""
    return isinstance(split.x, StoredRows)

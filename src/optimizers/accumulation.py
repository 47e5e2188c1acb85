"""Gradient accumulation: the weights change after several batches, as if these were one.

    sum <- sum + rows * gradient,  total <- total + rows        after each batch
    weights <- optimizer(weights, sum / total)                  after the last of them
    sum, total <- 0

The gradient of a batch is that of the mean over its rows, so the quotient is the gradient of the
mean over the rows of all. A group of batches ends with the epoch at the latest: each epoch has the
updates of a run whose batches are as large as the groups, a smaller last one among them.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from src.optimizers.wrapper import (
    Gradients,
    Variables,
    Wrapper,
    layers,
    only_where,
    variable_like,
)


class Accumulation(Wrapper):
    """Gathers the gradients of `batches` batches before each update.

    Args:
        inner: the optimizer; it sees one gradient a group, which it clips, and its iterations,
            momentum, weight decay and averages go on once a group.
        variables: what it updates.
        batches: of a group, two or more.
    """

    def __init__(self, inner: Any, variables: Variables, batches: int) -> None:
        self.batches = batches
        self._sums = {
            id(variable): variable_like(variable, tf.zeros_like(variable.value), "gradients")
            for variable in variables
        }
        self._total = keras.Variable(0.0, dtype="float32", trainable=False, name="gathered_rows")
        self._rows: tf.Tensor = tf.constant(1.0)
        self._last: tf.Tensor = tf.constant(True)
        super().__init__(inner, [*self._sums.values(), self._total])

    @contextlib.contextmanager
    def place(self, batch: tf.Tensor, epoch: int, rows: int) -> Iterator[None]:
        """See `place`."""
        before = self._rows, self._last
        done = batch + 1
        self._rows = tf.constant(float(rows))
        self._last = tf.logical_or(done % self.batches == 0, done == epoch)
        try:
            yield
        finally:  # those are tensors of the program that is being traced
            self._rows, self._last = before

    def apply(self, gradients: Gradients, variables: Variables) -> None:
        """Gather the gradients of a batch, and update the variables after a group's last one."""
        total = self._total.value + self._rows
        gathered = [
            None
            if gradient is None
            else self._sums[id(variable)].value + self._rows * tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        means = [None if sums is None else sums / total for sums in gathered]
        with only_where(self._last, [*variables, *self.inner.variables]):
            self.inner.apply(means, variables)
        self._total.assign(tf.where(self._last, tf.zeros_like(total), total))
        for variable, sums in zip(variables, gathered, strict=True):
            if sums is not None:
                self._sums[id(variable)].assign(tf.where(self._last, tf.zeros_like(sums), sums))


@contextlib.contextmanager
def place(optimizer: Any, batch: tf.Tensor, epoch: int, rows: int) -> Iterator[None]:
    """Within it a batch is trained on, of which gradient accumulation must know the place.

    Args:
        optimizer: one that accumulates, or any other.
        batch: its 0-based number in the epoch, a scalar int32.
        epoch: the batches of an epoch.
        rows: the rows of the batch.
    """
    with contextlib.ExitStack() as stack:
        for layer in layers(optimizer):
            if isinstance(layer, Accumulation):
                stack.enter_context(layer.place(batch, epoch, rows))
        yield

"""A step becomes one compiled program that runs many updates per call.

The data is resident. A call gathers its batches by row number, trains on them and returns the
losses of its updates in one tensor, so Python is touched a few times a second, not once an update.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import tensorflow as tf

from src.data.dataset import Split
from src.engine import compilation, state
from src.steps.step import Step

# The losses of a call are held in a buffer of at most this length: XLA needs a fixed one.
CAPACITY = 4096


class Program:
    """The compiled updates and evaluations of one step over resident data.

    Args:
        step: what to train.
        train: the rows to train on.
        batch_size: rows of an update; the last batch of an epoch may be smaller.
        evaluation_batch_size: rows evaluated at once.
        jit: `auto`, or whether XLA compiles.
        eager: run the step operation by operation, for a debugger.
        notice: told in one line when XLA can't compile the step.
    """

    members = 1

    def __init__(
        self,
        step: Step,
        train: Split,
        batch_size: int,
        evaluation_batch_size: int,
        *,
        jit: Literal["auto"] | bool = "auto",
        eager: bool = False,
        notice: Callable[[str], None] = print,
    ) -> None:
        self.step = step
        self.rows = len(train.x)
        self.batch_size = min(batch_size, self.rows)
        self.full_batches, self.last_batch = divmod(self.rows, self.batch_size)
        self.updates_per_epoch = self.full_batches + (self.last_batch > 0)
        self._buffer = min(self.full_batches, CAPACITY)
        self.capacity = self.updates_per_epoch if self.full_batches <= CAPACITY else CAPACITY
        self.evaluation_batch_size = evaluation_batch_size
        self.traces = 0
        self._wanted_jit = jit
        self._eager = eager
        self._notice = notice
        self._x, self._y = tf.constant(train.x), tf.constant(train.y)
        self._order = tf.zeros(self.rows, tf.int32)
        self._splits: dict[int, tuple[Split, tf.Tensor, tf.Tensor]] = {}
        self._updates = self._compile_updates()
        self._partial = self._function(self._partial_update)
        self._evaluation = self._function(self._evaluate, jit=False)
        self._results = self._function(self._take_results, jit=False)

    # -- what fit.py calls

    def shuffle(self, orders: np.ndarray) -> None:
        """Set the order of the rows for the epoch, `(members, rows)` row numbers."""
        self._order = tf.constant(orders[0], tf.int32)

    def run(self, start: int, rates: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Make the updates `start, start + 1, ...` of the epoch, one for each row of `rates`.

        Args:
            start: 0-based number of the first update within the epoch.
            rates: learning rates `(updates, members)`, float32; at most `capacity` updates.
            active: which members train, `(members,)`.

        Returns:
            The losses `(updates, members)`, float32.
        """
        rates = rates[:, 0]
        whole = min(len(rates), self.full_batches - start)
        losses = []
        if whole > 0:
            padded = np.zeros(self._buffer, np.float32)
            padded[:whole] = rates[:whole]
            buffer = self._updates(
                self._order, tf.constant(start), tf.constant(whole), tf.constant(padded)
            )
            losses.append(buffer.numpy()[:whole])
        if whole < len(rates):
            losses.append([self._partial(self._order, tf.constant(rates[whole])).numpy()])
        return np.concatenate(losses).astype(np.float32)[:, None]

    def take_results(self) -> list[dict[str, float]]:
        """The metrics since they were last taken, a mapping for each member; resets them."""
        return [{name: float(value) for name, value in self._results().items()}]

    def evaluate(self, split: Split) -> list[dict[str, float]]:
        """The metrics over a whole split, a mapping for each member."""
        _, x, y = self._splits.setdefault(
            id(split), (split, tf.constant(split.x), tf.constant(split.y))
        )
        self._evaluation(x, y)
        return self.take_results()

    def snapshot(self, member: int = 0, owner: str = "") -> state.State:
        """A copy of a member's state, or of the part of it whose name starts with `owner`."""
        return state.snapshot(self.step, owner)

    def restore(self, values: state.State, member: int = 0) -> None:
        """Give a member's variables these values."""
        state.restore(self.step, values)

    # -- what is traced

    def _many_updates(
        self, order: tf.Tensor, start: tf.Tensor, count: tf.Tensor, rates: tf.Tensor
    ) -> tf.Tensor:
        self.traces += 1
        losses = tf.TensorArray(tf.float32, self._buffer, element_shape=())
        # Gathers and a bare `while`: XLA compiles anew for each begin of a slice and each limit of
        # a range.
        batches = tf.reshape(order[: self.full_batches * self.batch_size], [self.full_batches, -1])
        update = tf.constant(0)
        while update < count:
            rows = tf.gather(batches, start + update)
            losses = losses.write(update, self._update(rows, tf.gather(rates, update)))
            update += 1
        return losses.stack()

    def _partial_update(self, order: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        self.traces += 1
        return self._update(order[self.rows - self.last_batch :], rate)

    def _update(self, rows: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        self.step.optimizer.learning_rate.assign(rate)
        loss = self.step.train(tf.gather(self._x, rows), tf.gather(self._y, rows))
        return tf.cast(loss, tf.float32)

    def _evaluate(self, x: tf.Tensor, y: tf.Tensor) -> None:
        size = min(self.evaluation_batch_size, x.shape[0])
        full, last = divmod(x.shape[0], size)
        for batch in tf.range(full):
            self.step.evaluate(
                tf.ensure_shape(x[batch * size : (batch + 1) * size], [size, *x.shape[1:]]),
                tf.ensure_shape(y[batch * size : (batch + 1) * size], [size, *y.shape[1:]]),
            )
        if last:
            self.step.evaluate(x[-last:], y[-last:])

    def _take_results(self) -> dict[str, tf.Tensor]:
        results = {
            name: tf.cast(metric.result(), tf.float32) for name, metric in self.step.metrics.items()
        }
        for metric in self.step.metrics.values():
            metric.reset_state()
        return results

    # -- how it is compiled

    def _compile_updates(self) -> Callable[..., tf.Tensor]:
        if self._eager:
            self.compilation = compilation.Choice(False, "eager=true")
            return self._many_updates
        signature = [
            tf.TensorSpec([self.rows], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([self._buffer], tf.float32),
        ]
        traced = tf.function(self._many_updates).get_concrete_function(*signature)
        self.compilation = compilation.choose(traced, self._wanted_jit)
        if not self.compilation.jit:
            return traced
        # The traced function is compiled as it is, so that the step is traced once.
        compiled = tf.function(
            lambda *arguments: traced(*arguments), input_signature=signature, jit_compile=True
        )
        try:
            # Zero updates: compiles, and leaves the state as it is.
            compiled(
                tf.zeros([self.rows], tf.int32),
                tf.constant(0),
                tf.constant(0),
                tf.zeros([self._buffer]),
            )
        except (
            tf.errors.InvalidArgumentError,
            tf.errors.UnimplementedError,
            tf.errors.InternalError,
        ) as error:
            reason = str(error).splitlines()[0][:160]
            self.compilation = compilation.Choice(False, f"XLA can't compile this step: {reason}")
            self._notice(f"The step runs as a TensorFlow graph: XLA can't compile it ({reason}).")
            return traced
        return compiled

    def _function(
        self, function: Callable[..., object], jit: bool | None = None
    ) -> Callable[..., object]:
        if self._eager:
            return function
        return tf.function(
            function, jit_compile=(self.compilation.jit if jit is None else jit) or None
        )

"""A step becomes one compiled program that runs many updates per call.

The data is resident; `src.engine.streamed` has what is larger. A call gathers its batches by row
number, trains on them and returns what its updates report in one tensor, so Python is touched a few
times a second, not once an update.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from src.augmentations.augmentation import Augmentation
from src.augmentations.none import Unchanged
from src.data.dataset import Split
from src.engine import compilation, state
from src.engine.batches import over_batches, over_updates
from src.engine.feed import HeldRows
from src.optimizers import accumulation, averaging
from src.steps.step import Step, one_number

Values = list[tf.Tensor]


class Program(HeldRows):
    """The compiled updates and evaluations of one step over resident data.

    Everything has an axis of members, here of length one; `src.engine.fused` has more. What the
    members hold goes through the traced loops as `values`: nothing here, where the step's
    variables hold it.

    Args:
        step: what to train.
        train: the rows to train on.
        batch_size: rows of an update; the last batch of an epoch may be smaller.
        evaluation_batch_size: rows evaluated at once.
        augmentation: changes the rows that are trained on, at random.
        jit: `auto`, or whether XLA compiles.
        eager: run the step operation by operation, for a debugger.
        notice: told in one line when XLA can't compile the step.

    Attributes:
        members: how many train side by side.
        updates_per_epoch: a smaller last batch counted.
        capacity: updates a call makes at most.
        compilation: whether XLA compiles the updates, and why.
        traces: how often updates were traced: once, and once more for a smaller last batch.
        numbers: random numbers that the augmentation needs for each row.
        reported: by name `(updates, members)`, what else the step reported in the last call.
    """

    members = 1

    def __init__(
        self,
        step: Step,
        train: Split,
        batch_size: int,
        evaluation_batch_size: int,
        *,
        augmentation: Augmentation | None = None,
        jit: Literal["auto"] | bool = "auto",
        eager: bool = False,
        notice: Callable[[str], None] = print,
    ) -> None:
        self.step = step
        self.rows = len(train.x)
        self.batch_size = min(batch_size, self.rows)
        self.full_batches, self.last_batch = divmod(self.rows, self.batch_size)
        self.updates_per_epoch = self.full_batches + (self.last_batch > 0)
        self._hold(train)
        longest = self._longest_call()
        self._buffer = min(self.full_batches, longest)
        self.capacity = self.updates_per_epoch if self.full_batches <= longest else longest
        self.evaluation_batch_size = evaluation_batch_size
        self.traces = 0
        self._augmentation = augmentation or Unchanged()
        self.numbers = self._augmentation.numbers
        self.shuffle(np.zeros((self.members, self.rows), np.int32))
        self.reported: dict[str, np.ndarray] = {}
        self._eager = eager
        # Only a step may hold Python control flow on tensors, so only steps are converted.
        self._train_step = step.train if eager else compilation.converted(step.train)
        self._evaluate_step = step.evaluate if eager else compilation.converted(step.evaluate)
        if eager:
            self.compilation = compilation.Choice(False, "eager=true")
            self._updates: Callable[..., tf.Tensor] = self._many_updates
        else:
            self._updates, self.compilation = compilation.compile_loop(
                self._many_updates, self._signature, jit, notice
            )
        # What runs once an epoch stays a graph: XLA would take longer to compile it than it saves.
        self._partial: Callable[..., tf.Tensor] | None = None
        self._results: Callable[..., dict[str, tf.Tensor]] | None = None

    # -- what fit.py calls

    def run(self, start: int, rates: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Make the updates `start, start + 1, ...` of the epoch, one for each row of `rates`.

        Args:
            start: 0-based number of the first update within the epoch.
            rates: learning rates `(updates, members)`, float32; at most `capacity` updates.
            active: which members train, `(members,)`; the others' state stays as it is.

        Returns:
            The losses `(updates, members)`, float32; `reported` has what else was reported.
        """
        whole = max(min(len(rates), self.full_batches - start), 0)
        alive = tf.constant(active)
        losses = []
        if whole > 0:
            padded = np.zeros((self._buffer, self.members), np.float32)
            padded[:whole] = rates[:whole]
            given = (*self._feed(start, whole), tf.constant(whole), tf.constant(padded), alive)
            buffer = self._updates(*given)
            losses.append(buffer.numpy()[:whole])
        if whole < len(rates):
            given = (*self._feed_last(), tf.constant(rates[whole]), alive)
            if self._partial is None:
                signature = map(tf.TensorSpec.from_tensor, given)
                self._partial = self._traced(self._partial_update, *signature)
            losses.append(self._partial(*given).numpy()[None])
        first, *others = np.moveaxis(np.concatenate(losses), -1, 0)  # of updates, members, values
        self.reported = dict(zip(self.step.update_values, others, strict=True))
        return first

    def take_results(self) -> list[dict[str, float]]:
        """The metrics since they were last taken, a mapping for each member; resets them."""
        if self._results is None:
            self._results = self._traced(self._take_results)
        results = {name: values.numpy() for name, values in self._results().items()}
        return [
            {name: float(values[member]) for name, values in results.items()}
            for member in range(self.members)
        ]

    def evaluate(self, split: Split) -> list[dict[str, float]]:
        """The metrics over a whole split, a mapping for each member."""
        self.take_results()  # of a checkpoint within an epoch they hold what was trained of it
        self._go_over(split)
        untouched = self.step.TRAINING_ONLY
        return [
            {name: value for name, value in results.items() if name not in untouched}
            for results in self.take_results()
        ]

    def load(
        self, states: Sequence[state.State], attributes: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Give all members their states, and forget what came before.

        attributes: in which members differ, `(members,)` by key: none here, one has its step's.
        """
        state.restore(self.step, states[0])

    def snapshot(self, member: int = 0, owner: str = "") -> state.State:
        """A copy of a member's state, or of the part of it whose name starts with `owner`."""
        return state.snapshot(self.step, owner)

    def evaluated(self, member: int = 0) -> state.State:
        """A copy of the model's variables as they are evaluated: weights are their averages."""
        values = self.snapshot(member)
        averages = state.averages(self.step)
        return {
            name: values[averages.get(name, name)] for name in values if name.startswith("model/")
        }

    def restore(self, values: state.State, member: int = 0) -> None:
        """Give a member's variables these values.

        Raises:
            ValueError: when a name or a shape does not belong to this step.
        """
        state.restore(self.step, values)

    def model(self, member: int = 0) -> keras.Model:
        """The model with a member's weights as they are evaluated; not to be trained on."""
        state.restore(self.step, self.evaluated())
        return self.step.model

    # -- what is traced

    @property
    def _signature(self) -> list[tf.TensorSpec]:
        """Of `_many_updates`."""
        return [
            tf.TensorSpec([self.members, self.rows], tf.int32),
            tf.TensorSpec([self.members, self.rows, self.numbers], tf.float32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([self._buffer, self.members], tf.float32),
            tf.TensorSpec([self.members], tf.bool),
        ]

    def _traced(
        self, function: Callable[..., Any], *signature: tf.TensorSpec
    ) -> Callable[..., Any]:
        if self._eager:
            return function
        return tf.function(function, autograph=False).get_concrete_function(*signature)

    def _many_updates(
        self,
        orders: tf.Tensor,
        numbers: tf.Tensor,
        start: tf.Tensor,
        count: tf.Tensor,
        rates: tf.Tensor,
        active: tf.Tensor,
    ) -> tf.Tensor:
        self.traces += 1
        given = orders.shape[1] // self.batch_size
        whole = orders[:, : given * self.batch_size]
        batches = tf.reshape(whole, [self.members, given, self.batch_size])

        def one(update: tf.Tensor, values: Values) -> tuple[Values, tf.Tensor]:
            now, total = start + update, self.updates_per_epoch
            # A gather: XLA compiles anew for each begin of a slice.
            rows = tf.gather(batches, self._at(start, update), axis=1)
            with accumulation.place(self.step.optimizer, now, total, self.batch_size):
                return self._update(values, rows, numbers, tf.gather(rates, update))

        shape = (self.members, 1 + len(self.step.update_values))
        values, losses = over_updates(one, self._read(), count, self._buffer, shape)
        self._write(values, active)
        return losses

    def _partial_update(
        self, orders: tf.Tensor, numbers: tf.Tensor, rates: tf.Tensor, active: tf.Tensor
    ) -> tf.Tensor:
        self.traces += 1
        rows, last = orders[:, -self.last_batch :], tf.constant(self.updates_per_epoch - 1)
        with accumulation.place(self.step.optimizer, last, self.updates_per_epoch, self.last_batch):
            values, losses = self._update(self._read(), rows, numbers, rates)
        self._write(values, active)
        return losses

    def _evaluate(self, x: tf.Tensor, y: tf.Tensor) -> None:
        size = min(self.evaluation_batch_size, x.shape[0])
        values = over_batches(self._add_to_metrics, self._read(), x, y, size)
        self._write(values, tf.ones([self.members], tf.bool))

    # -- what one member alone does in its own way

    def _read(self) -> Values:
        """What the members hold, outside the step's variables."""
        return []

    def _write(self, values: Values, active: tf.Tensor) -> None:
        """Keep what the active members hold."""
        assert not values

    def _update(
        self, values: Values, rows: tf.Tensor, numbers: tf.Tensor, rates: tf.Tensor
    ) -> tuple[Values, tf.Tensor]:
        """One update from the rows `(members, batch)`; what is recorded of it, for each member."""
        return values, self._train(rows[0], numbers[0], rates[0])[None]

    def _add_to_metrics(self, values: Values, x: tf.Tensor, y: tf.Tensor) -> Values:
        self._evaluate_batch(x, y)
        return values

    def _take_results(self) -> dict[str, tf.Tensor]:
        return {name: value[None] for name, value in self._results_of_one().items()}

    # -- what any member does

    def _train(self, rows: tf.Tensor, numbers: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """One update; what is recorded of it, `(values,)`: the loss, then `update_values`."""
        self.step.optimizer.learning_rate.assign(rate)
        x = self._augmentation(tf.gather(self._x, rows), tf.gather(numbers, rows))
        loss = self._train_step(x, tf.gather(self._y, rows))
        return tf.stack([one_number(loss), *self.step.take_reports()])

    def _evaluate_batch(self, x: tf.Tensor, y: tf.Tensor) -> None:
        with averaging.averaged(self.step.optimizer):
            self._evaluate_step(x, y)

    def _results_of_one(self) -> dict[str, tf.Tensor]:
        metrics = self.step.reported
        results = {name: tf.cast(metric.result(), tf.float32) for name, metric in metrics.items()}
        for metric in metrics.values():
            metric.reset_state()
        return results

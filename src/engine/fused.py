"""Sweep members that share one program train side by side in it.

Inside `keras.StatelessScope` a step written for Keras variables becomes a pure function of their
values. Stacked along a first axis, the values of all members go through it at once by
`tf.vectorized_map`. Members may differ in what is a tensor: initial weights, order of the rows,
random streams and the learning rate at each update.

A member equals its solo run to rounding: the sums inside a matrix product are taken in another
order, nothing else differs.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from src.data.dataset import Split
from src.engine import compilation, state, vectorization
from src.engine.program import Program, Values
from src.errors import CannotFuse
from src.steps.step import Step

vectorization.register()

# Stacked filters have no vendor kernel on a CPU: measured 0.2 times the rate of one by one.
SLOWER_FUSED = ("Conv", "DepthwiseConv")
MEMORY_SHARE = 0.5  # of the free memory that a fused group may take


class FusedProgram(Program):
    """The compiled updates and evaluations of many members of one step; see `Program`.

    Args:
        step: the template: what all members do. Its own variables' values are not used.
        states: of each member, as `state.snapshot` gives them.
        train: the rows to train on, the same for all members.
        batch_size: rows of an update; the last batch of an epoch may be smaller.
        evaluation_batch_size: rows evaluated at once.
        jit: `auto`, or whether XLA compiles.
        notice: told in one line when XLA can't compile the step.
    """

    def __init__(
        self,
        step: Step,
        states: Sequence[state.State],
        train: Split,
        batch_size: int,
        evaluation_batch_size: int,
        *,
        jit: Literal["auto"] | bool = "auto",
        notice: Callable[[str], None] = print,
    ) -> None:
        self.members = len(states)
        named = state.variables(step)
        self._variables = list(named.values())
        self._stacked = {
            name: tf.Variable(np.stack([member[name] for member in states]), trainable=False)
            for name in named
        }
        try:
            super().__init__(step, train, batch_size, evaluation_batch_size, jit=jit, notice=notice)
        except (NotImplementedError, ValueError, TypeError) as error:
            # What tf.vectorized_map raises for an operation it has no form of. A step that can't be
            # traced at all says so again when it runs alone.
            raise CannotFuse(
                f"it can't be vectorised: {str(error).strip().splitlines()[-1]}"
            ) from error

    # -- what fit.py calls

    def snapshot(self, member: int = 0, owner: str = "") -> state.State:
        """A copy of a member's state, or of the part of it whose name starts with `owner`."""
        return {
            name: np.array(stacked[member])
            for name, stacked in self._stacked.items()
            if name.startswith(owner)
        }

    def restore(self, values: state.State, member: int = 0) -> None:
        """Give a member's variables these values."""
        for name, value in values.items():
            self._stacked[name][member].assign(value)

    def load(self, states: Sequence[state.State]) -> None:
        """Give all members their states, and forget what came before."""
        for name, stacked in self._stacked.items():
            stacked.assign(np.stack([member[name] for member in states]))

    def model(self, member: int = 0) -> keras.Model:
        """The template's model with a member's weights, until another member is asked for."""
        state.restore(self.step, self.snapshot(member, "model/"))
        return self.step.model

    # -- what many members do in their own way

    def _read(self) -> Values:
        return [stacked.read_value() for stacked in self._stacked.values()]

    def _write(self, values: Values, active: tf.Tensor) -> None:
        for stacked, value in zip(self._stacked.values(), values, strict=True):
            mask = tf.reshape(active, [self.members] + [1] * (value.shape.rank - 1))
            stacked.assign(tf.where(mask, value, stacked))

    def _update(
        self, values: Values, rows: tf.Tensor, rates: tf.Tensor
    ) -> tuple[Values, tf.Tensor]:
        def update(member: tuple[Values, tf.Tensor, tf.Tensor]) -> tuple[Values, tf.Tensor]:
            own, own_rows, rate = member
            return self._lifted(lambda: self._train(own_rows, rate), own)

        return tf.vectorized_map(update, (values, rows, rates))

    def _add_to_metrics(self, values: Values, x: tf.Tensor, y: tf.Tensor) -> Values:
        def add(own: Values) -> Values:
            return self._lifted(lambda: self.step.evaluate(x, y), own)[0]

        return tf.vectorized_map(add, values)

    def _take_results(self) -> dict[str, tf.Tensor]:
        def take(own: Values) -> tuple[Values, dict[str, tf.Tensor]]:
            return self._lifted(self._results_of_one, own)

        values, results = tf.vectorized_map(take, self._read())
        self._write(values, tf.ones([self.members], tf.bool))
        return results

    def _lifted(self, function: Callable[[], Any], values: Values) -> tuple[Values, Any]:
        """Call `function` as if the variables had these values.

        Returns:
            The values they then have, and what the function returned.
        """
        mapping = list(zip(self._variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            result = function()
        after = [scope.get_current_value(variable) for variable in self._variables]
        return [tf.cast(new, old.dtype) for new, old in zip(after, values, strict=True)], result


def check(step: Step, train: Split, batch_size: int, members: int, *, force: bool) -> None:
    """Whether members of this step had better train together, judged by its operations.

    Raises:
        CannotFuse: they are slower together on this device (not with `force`), or too many for the
            memory that is free.
    """
    batch = min(batch_size, len(train.x))
    traced = tf.function(step.train).get_concrete_function(
        tf.TensorSpec([batch, *train.x.shape[1:]], train.x.dtype),
        tf.TensorSpec([batch, *train.y.shape[1:]], train.y.dtype),
    )
    if not force and not tf.config.list_logical_devices("GPU"):
        slow = [name for name in compilation.operations(traced) if name.startswith(SLOWER_FUSED)]
        if slow:
            raise CannotFuse(
                f"{min(slow)} is slower fused than one by one on a CPU "
                "(hydra.launcher.force=true fuses all the same)"
            )
    held = sum(
        variable.value.shape.num_elements() * 4 for variable in state.variables(step).values()
    )
    # The stacked variables, their copy in the loop and its successor; every tensor of one update.
    needed = 3 * held + compilation.tensor_bytes(traced)
    fit = int(MEMORY_SHARE * free_memory() // max(needed, 1))
    if fit < members:
        raise CannotFuse(f"{members} members need {members * needed / 2**30:.1f} GiB", members=fit)


def free_memory() -> int:
    """Bytes that a program may still take on this machine."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)

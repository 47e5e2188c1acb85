"""Sweep members that share one program train side by side in it.

Inside `keras.StatelessScope` a step written for Keras variables becomes a pure function of their
values. Stacked along a first axis, the values of all members go through it at once by
`tf.vectorized_map`. Members may differ in what is a tensor: initial weights, order of the rows,
random streams, the learning rate at each update, and the attributes that `src.attributes` names.

A member equals its solo run to rounding: the sums inside a matrix product are taken in another
order, and a program may be compiled by XLA whose solo runs are not; nothing else differs. Measured
on the digits with conf's defaults, relative to the solo run: losses within 1e-6 over 60 updates
with every model and optimizer, over 600 within 2e-6, with Muon 3e-5.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from src.augmentations.augmentation import Augmentation
from src.data.dataset import Split
from src.engine import state, suitability, vectorization
from src.engine.compilation import Choice
from src.engine.program import Program, Values
from src.errors import CannotFuse
from src.optimizers.wrapper import innermost
from src.steps.step import Step

ASSIGNMENTS = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


class FusedProgram(Program):
    """The compiled updates and evaluations of many members of one step; see `Program`.

    Args:
        step: the template: what all members do. Its own variables' values are not used.
        states: of each member, as `state.snapshot` gives them.
        train: the rows to train on, the same for all members.
        batch_size: rows of an update; the last batch of an epoch may be smaller.
        evaluation_batch_size: rows evaluated at once.
        augmentation: changes the rows that are trained on; see `Program`.
        jit: `auto`, or whether XLA compiles.
        force: fuse also where the device trains members faster one by one.
        attributes: values `(members,)` of what is an attribute of the step's parts, by its key in
            the configuration, such as `optimizer.weight_decay`.
        evaluated: splits to be evaluated later: what can't be vectorised there is refused now.
        notice: told in one line when XLA can't compile the step, or members take turns in a part.

    Raises:
        CannotFuse: members can't, or had better not, train together; the message says why.
    """

    def __init__(
        self,
        step: Step,
        states: Sequence[state.State],
        train: Split,
        batch_size: int,
        evaluation_batch_size: int,
        *,
        augmentation: Augmentation | None = None,
        jit: Literal["auto"] | bool = "auto",
        force: bool = False,
        attributes: Mapping[str, np.ndarray] | None = None,
        evaluated: Sequence[Split] = (),
        notice: Callable[[str], None] = print,
    ) -> None:
        self.members = len(states)
        plan = suitability.plan(
            step,
            train,
            evaluated,
            batch_size,
            evaluation_batch_size,
            self.members,
            jit=jit,
            force=force,
        )
        named = state.variables(step)
        self._variables = list(named.values())
        self._stacked = {
            name: tf.Variable(np.stack([member[name] for member in states]), trainable=False)
            for name in named
        }
        self._attributes = {
            key: tf.Variable(values, trainable=False, dtype=tf.float32)
            for key, values in (attributes or {}).items()
        }
        self._held: state.State = {}  # the members' values on the host, since the last call
        self._changed: set[str] = set()  # those among them that the device doesn't have yet
        in_turns: set[str] = set()
        try:
            with vectorization.extended(random=plan.vectorise_random) as in_turns:
                super().__init__(
                    step,
                    train,
                    batch_size,
                    evaluation_batch_size,
                    augmentation=augmentation,
                    jit=plan.choice.jit,
                    notice=notice,
                )
            for split in evaluated:
                self.evaluate(split)
        except CannotFuse:
            raise
        except Exception as error:
            # Whatever the reason is: a step that can't be traced at all says so again, to the
            # user, when it runs alone.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            reason = lines[-1 if lines[0].startswith("in user code") else 0].strip()
            raise CannotFuse(f"it can't be vectorised: {reason}") from error
        if plan.vectorise_random and in_turns.intersection(vectorization.RANDOM):
            # In turns they are XLA's numbers, not those of the members' solo runs.
            raise CannotFuse(
                "not all of its random numbers are float32 of a fixed shape (jit=false fuses them)"
            )
        if self.compilation.jit == plan.choice.jit:
            self.compilation = Choice(plan.choice.jit, plan.choice.reason)
        if in_turns:
            notice(f"Members take turns in {', '.join(sorted(in_turns))}, the slower part.")

    # -- what fit.py calls

    def run(self, start: int, rates: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Make updates; see `Program.run`."""
        self._leave_the_host()
        return super().run(start, rates, active)

    def take_results(self) -> list[dict[str, float]]:
        """The metrics since they were last taken; see `Program.take_results`."""
        self._leave_the_host()
        return super().take_results()

    def evaluate(self, split: Split) -> list[dict[str, float]]:
        """The metrics over a whole split; see `Program.evaluate`."""
        self._leave_the_host()
        return super().evaluate(split)

    def snapshot(self, member: int = 0, owner: str = "") -> state.State:
        """A copy of a member's state, or of the part of it whose name starts with `owner`."""
        return {
            name: np.array(self._on_the_host(name)[member])
            for name in self._stacked
            if name.startswith(owner)
        }

    def restore(self, values: state.State, member: int = 0) -> None:
        """Give a member's variables these values.

        Raises:
            ValueError: when a name or a shape does not belong to this step.
        """
        values = state.with_averages(self.step, values)
        for name, value in values.items():
            if name not in self._stacked:
                raise ValueError(f"it holds {name}, which this model and optimizer don't have")
            shape = tuple(self._stacked[name].shape[1:])
            if shape != value.shape:
                raise ValueError(f"its {name} has shape {value.shape}, this model's is {shape}")
        for name, value in values.items():
            self._on_the_host(name)[member] = value
            self._changed.add(name)

    def load(
        self,
        states: Sequence[state.State],
        attributes: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Give all members their states and attributes, and forget what came before."""
        self._held, self._changed = {}, set()
        for name, stacked in self._stacked.items():
            stacked.assign(np.stack([member[name] for member in states]))
        for key, values in (attributes or {}).items():
            self._attributes[key].assign(values)

    def model(self, member: int = 0) -> keras.Model:
        """The template's model with a member's weights, as `Program.model` gives them."""
        state.restore(self.step, self.evaluated(member))
        return self.step.model

    # -- members' values on the host: taken there once for all of them, not one by one

    def _on_the_host(self, name: str) -> np.ndarray:
        if name not in self._held:
            self._held[name] = np.array(self._stacked[name].numpy())
        return self._held[name]

    def _leave_the_host(self) -> None:
        for name in self._changed:
            self._stacked[name].assign(self._held[name])
        self._held, self._changed = {}, set()

    # -- what many members do in their own way

    def _traced(
        self, function: Callable[..., Any], *signature: tf.TensorSpec
    ) -> Callable[..., Any]:
        # These stay graphs (see `Program`): for them random numbers are quicker in turns.
        with vectorization.extended(random=False):
            return super()._traced(function, *signature)

    def _read(self) -> Values:
        held = [*self._stacked.values(), *self._attributes.values()]
        return [values.read_value() for values in held]

    def _write(self, values: Values, active: tf.Tensor) -> None:
        for stacked, value in zip(self._stacked.values(), values, strict=False):
            mask = tf.reshape(active, [self.members] + [1] * (value.shape.rank - 1))
            stacked.assign(tf.where(mask, value, stacked))

    def _update(
        self, values: Values, rows: tf.Tensor, numbers: tf.Tensor, rates: tf.Tensor
    ) -> tuple[Values, tf.Tensor]:
        def update(member: tuple[Values, Any, Any, Any]) -> tuple[Values, tf.Tensor]:
            own, own_rows, own_numbers, rate = member
            return self._lifted(lambda: self._train(own_rows, own_numbers, rate), own)

        return tf.vectorized_map(update, (values, rows, numbers, rates))

    def _add_to_metrics(self, values: Values, x: tf.Tensor, y: tf.Tensor) -> Values:
        def add(own: Values) -> Values:
            return self._lifted(lambda: self._evaluate_batch(x, y), own)[0]

        return tf.vectorized_map(add, values)

    def _take_results(self) -> dict[str, tf.Tensor]:
        def take(own: Values) -> tuple[Values, dict[str, tf.Tensor]]:
            return self._lifted(self._results_of_one, own)

        values, results = tf.vectorized_map(take, self._read())
        self._write(values, tf.ones([self.members], tf.bool))
        return results

    def _lifted(self, function: Callable[[], Any], values: Values) -> tuple[Values, Any]:
        """Call `function` as if the variables and attributes had these values.

        Returns:
            The values they then have, and what the function returned.

        Raises:
            CannotFuse: it changes something that is not among the variables.
        """
        count = len(self._variables)
        own, attributes = values[:count], values[count:]
        graph = own[0].graph
        before = len(graph.get_operations())
        with self._given(attributes), _Scope(self._variables, own) as scope:
            try:
                result = function()
            except Exception as error:
                if scope.refusal:  # what follows from it may be any error
                    raise CannotFuse(scope.refusal) from error
                raise
        if any(operation.type in ASSIGNMENTS for operation in graph.get_operations()[before:]):
            raise CannotFuse("it changes a tf.Variable; make it a keras.Variable in its state")
        if scope.refusal:
            raise CannotFuse(scope.refusal)
        after = [scope.get_current_value(variable) for variable in self._variables]
        same = [tf.cast(new, old.dtype) for new, old in zip(after, own, strict=True)]
        return [*same, *attributes], result

    @contextlib.contextmanager
    def _given(self, values: Values) -> Iterator[None]:
        """Within it, the step's parts have these values as their attributes."""
        places = []
        for key in self._attributes:
            owner, _, name = key.partition(".")
            part = self.step if owner == "step" else getattr(self.step, owner)
            places.append((innermost(part), name))
        before = [getattr(part, name) for part, name in places]
        try:
            for (part, name), value in zip(places, values, strict=True):
                setattr(part, name, value)
            yield
        finally:
            for (part, name), value in zip(places, before, strict=True):
                setattr(part, name, value)


class _Scope(keras.StatelessScope):
    """Within it, variables have the values of a member, and assignments change those.

    Attributes:
        refusal: why a member would not do what its solo run does; empty when it would.
    """

    def __init__(self, variables: Sequence[keras.Variable], values: Values) -> None:
        super().__init__(state_mapping=list(zip(variables, values, strict=True)))
        self._known = {id(variable) for variable in variables}
        self._graph = values[0].graph
        self.refusal = ""

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        """Note an assignment."""
        variable, value = update
        if isinstance(value, keras.Variable):
            value = value.value  # Keras would note the other variable, not its value by now
        if id(variable) not in self._known:
            self.refusal = f"it changes {variable.path}, which the step's state doesn't name"
        elif ops.get_default_graph() is not self._graph:
            self.refusal = f"it changes {variable.path} inside a tf.cond, a loop or a tf.function"
        super().add_update((variable, value))

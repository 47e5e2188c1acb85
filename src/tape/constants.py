"""What a step takes for constants while it differentiates, kept while weights are varied."""

from typing import Any

import tensorflow as tf

from src.steps.step import Step


class Constants:
    """Takes the place of a step's `held` and `minimised`.

    SAM differentiates at a point that depends on the weights, adversarial training on rows that do,
    and their gradients leave that dependence out. Finite differences agree with such a gradient
    only where both stay as they were when the gradient was taken.

    `begin` comes before each call of `step.train`; what `record` leaves in `held` belongs to the
    traced function, which has to return it to `keep`.

    Attributes:
        held: what was held since `begin`, in order.
        loss: the loss that the step named since `begin`, None where it named none.
    """

    def __init__(self, step: Step) -> None:
        self.held: list[Any] = []
        self.loss: tf.Tensor | None = None
        self._kept: list[list[tf.Variable]] | None = None
        self._replays = False
        step.held = self._hold  # type: ignore[method-assign]
        step.minimised = self._name  # type: ignore[method-assign]

    @property
    def kept(self) -> bool:
        """Whether there is something to give back."""
        return self._kept is not None

    def begin(self, *, replay: bool) -> None:
        """Forget what the last call held; from now on give back what is kept, or record."""
        self.held, self.loss, self._replays = [], None, replay

    def keep(self, held: list[Any]) -> None:
        """Keep the values of a call, to be given back in the same order."""
        flat = [[tf.convert_to_tensor(v) for v in tf.nest.flatten(values)] for values in held]
        if self._kept is None:
            self._kept = [[tf.Variable(value) for value in values] for values in flat]
        for variables, values in zip(self._kept, flat, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _hold(self, values: Any) -> Any:
        if self._replays:
            assert self._kept is not None
            kept = [variable.read_value() for variable in self._kept[len(self.held)]]
            values = tf.nest.pack_sequence_as(values, kept)
        values = tf.nest.map_structure(tf.stop_gradient, values)
        self.held.append(values)
        return values

    def _name(self, loss: tf.Tensor) -> tf.Tensor:
        self.loss = loss
        return loss

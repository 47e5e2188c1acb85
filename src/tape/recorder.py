"""An optimizer that keeps the gradients it is given and changes no weight."""

from collections.abc import Sequence
from typing import Any

import keras


class GradientRecorder(keras.optimizers.Optimizer):
    """Shows which gradients a step would apply.

    apply(gradients, variables): calls <- calls + [(variables, gradients)]

    In a traced function the gradients are symbolic: clear `calls` before the step is traced and
    return them from the same function.

    Args:
        learning_rate: without effect; a step may read it.
    """

    def __init__(self, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.calls: list[list[tuple[Any, Any]]] = []

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Keep the gradients with their variables, by default those the optimizer was built for."""
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        self.calls.append(list(zip(trainable_variables, grads, strict=True)))
        self._iterations.assign_add(1)

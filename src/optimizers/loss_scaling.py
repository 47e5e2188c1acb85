"""Dynamic loss scaling: gradients in float16 are kept away from zero (Micikevicius et al. 2018).

    gradient <- d (scale * loss) / d weight / scale
    every gradient finite: update; scale <- 2 * scale after `GROWTH` such batches in a row
    else: no update;               scale <- scale / 2

The rule and its figures are those of `keras.mixed_precision.LossScaleOptimizer`, which branches
where this one selects, and doesn't count what it skips.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from src.optimizers.wrapper import Gradients, Variables, Wrapper, only_where

INITIAL_SCALE = 2.0**15
GROWTH = 2000
SCALE = "loss_scale"
SKIPPED = "skipped_updates"


class LossScaling(Wrapper):
    """Expects the gradients of `scale_loss(loss)`."""

    def __init__(self, inner: Any) -> None:
        def variable(value: float, dtype: str, name: str) -> keras.Variable:
            return keras.Variable(value, dtype=dtype, trainable=False, name=name)

        self._scale = variable(INITIAL_SCALE, "float32", SCALE)
        self._row = variable(0, "int32", "finite_updates")
        self._skipped = variable(0, "int32", SKIPPED)
        super().__init__(inner, [self._scale, self._row, self._skipped])

    @property
    def update_values(self) -> dict[str, keras.Variable]:
        """What is recorded after each update: the scale, and how many were left out so far."""
        return {SCALE: self._scale, SKIPPED: self._skipped}

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss to take gradients of."""
        return loss * tf.cast(self._scale.value, loss.dtype)

    def apply(self, gradients: Gradients, variables: Variables) -> None:
        """Update the variables, unless a gradient is not finite."""
        scale = tf.convert_to_tensor(self._scale.value)
        unscaled = [
            None if gradient is None else tf.convert_to_tensor(gradient) / scale
            for gradient in gradients
        ]
        finite = tf.reduce_all(
            [tf.reduce_all(tf.math.is_finite(each)) for each in unscaled if each is not None]
        )
        with only_where(finite, [*variables, *self.inner.variables]):
            self.inner.apply(unscaled, variables)
        row = tf.where(finite, self._row.value + 1, 0)
        self._scale.assign(tf.where(finite, tf.where(row == GROWTH, 2 * scale, scale), 0.5 * scale))
        self._row.assign(tf.where(row == GROWTH, 0, row))
        self._skipped.assign(self._skipped.value + tf.cast(~finite, tf.int32))


def tags(state: Mapping[str, np.ndarray]) -> dict[str, str]:
    """What a run's record says of its loss scaling: nothing, where its state holds none."""
    return {
        kind: f"{value.item():g}"
        for name, value in state.items()
        for kind in (SCALE, SKIPPED)
        if name.startswith("optimizer/") and name.endswith(f"/{kind}")
    }

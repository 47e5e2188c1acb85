"""Sharpness-aware minimisation: the gradient of the worst loss near the weights.

Foret, Kleiner, Mobahi and Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving
Generalization", 2021, algorithm 1 with p = 2:

    ascent  <- rho * g / |g|                    with g = d loss / d weights
    weights <- optimizer(weights, d loss / d weights at weights + ascent)
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import keras
import tensorflow as tf
from pydantic import Field

from src.steps.step import Step

SMALLEST = 1e-12  # added to the gradient's norm: where it is 0, nothing is moved


class SharpnessAware(Step):
    """Two tapes, one update: it costs two gradients.

    Both passes draw the same random numbers, so that the same dropout masks are differentiated at
    both points. What else a pass changes (running means and variances of batch normalisation, the
    random streams) is kept of the first pass, at the weights themselves, and forgotten of the
    second. The loss and the metrics reported are those of the first pass.

    Args:
        model: see `Step`.
        optimizer: see `Step`.
        loss: see `Step`.
        metrics: see `Step`.
        rho: how far the weights are moved, as the length of the whole vector; 0 is `standard`.
    """

    SCALES_LOSS = True
    TENSOR_ATTRIBUTES = ("rho",)  # sweep members may differ in it: src/attributes.py

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
        rho: Annotated[float, Field(ge=0, allow_inf_nan=False)],
    ) -> None:
        super().__init__(model, optimizer, loss, metrics)
        self.rho = rho

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        # Copies: what the first pass changes must not change them.
        before = [(variable, tf.identity(variable.value)) for variable in self.model.variables]
        variables, weights = self.model.trainable_variables, self.weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            predictions = self.model(x, training=True)  # (batch, classes)
            loss = self.loss(y, predictions) + sum(self.model.losses)
            scaled = self.optimizer.scale_loss(loss)  # the loss itself, unless in float16
        # Only the direction counts, so the scale may stay.
        ascent = self.held(self.ascent(weights, tape.gradient(scaled, weights)))
        moved = [weight + step for weight, step in zip(weights, ascent, strict=True)]
        values = [*before, *zip(variables, moved, strict=True)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(moved)
            with keras.StatelessScope(values, collect_losses=True):  # variables have these values
                worst = self.loss(y, self.model(x, training=True)) + sum(self.model.losses)
            # Outside: in there a sweep member's optimizer has not the values that are its own.
            scaled = self.optimizer.scale_loss(self.minimised(worst))
        self.apply_gradients(tape.gradient(scaled, moved))
        self.update_metrics(loss, y, predictions)
        return loss

    def ascent(
        self, weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor | None]
    ) -> list[tf.Tensor]:
        """The step of length rho along the gradient, one tensor for each of the weights."""
        # Dense, where an embedding's gradient has the rows of a batch alone.
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        # tf.linalg.global_norm has no vectorised form for sweep members.
        squares = [tf.reduce_sum(gradient**2) for gradient in dense if gradient is not None]
        scale = self.rho / (tf.sqrt(tf.add_n(squares)) + SMALLEST)
        return [
            tf.zeros_like(weight) if gradient is None else tf.cast(scale, weight.dtype) * gradient
            for weight, gradient in zip(weights, dense, strict=True)
        ]

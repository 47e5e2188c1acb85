"""How sharp the minimum is that training found: the greatest eigenvalue of the loss' Hessian."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def sharpness(
    model: keras.Model, loss: Loss, x: np.ndarray, y: np.ndarray, *, iterations: int, seed: int = 0
) -> float:
    """The eigenvalue of greatest magnitude, by power iteration from a random direction.

        direction <- H direction / |H direction|      iterations times
        eigenvalue <- direction . H direction

    A tape over a tape's gradient gives products with the Hessian H (Pearlmutter, "Fast Exact
    Multiplication by the Hessian", 1994), so that H itself is never there.

    Args:
        model: at the weights in question; it computes as in inference.
        loss: `(labels, predictions)` to a scalar; penalties on weights are left out.
        x: features `(rows, *input_shape)`; all rows go through the model at once.
        y: labels.
        iterations: each costs about two gradients.
        seed: of the first direction.
    """
    weights = [variable.value for variable in model.trainable_variables]
    features, labels = tf.constant(x), tf.constant(y)

    @tf.function(autograph=False)
    def product(direction: list[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                value = loss(labels, model(features, training=False))
            gradients = inner.gradient(value, weights, unconnected_gradients="zero")
            slope = _dot(gradients, direction)
        return outer.gradient(slope, weights, unconnected_gradients="zero")

    generator = np.random.default_rng(seed)
    direction = _unit([tf.constant(generator.standard_normal(w.shape), w.dtype) for w in weights])
    for _ in range(iterations):
        direction = _unit(product(direction))
    return float(_dot(direction, product(direction)))


def _dot(one: list[tf.Tensor], other: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n([tf.reduce_sum(a * b) for a, b in zip(one, other, strict=True)])


def _unit(direction: list[tf.Tensor]) -> list[tf.Tensor]:
    length = tf.linalg.global_norm(direction)
    return [tf.math.divide_no_nan(part, length) for part in direction]

"""The gradient noise scale: how many rows a batch may have before more of them add little.

McCandlish, Kaplan, Amodei and the OpenAI Dota Team, "An Empirical Model of Large-Batch Training",
2018, equation 2.9: with G the true gradient and S the covariance of the rows' gradients,

    noise scale = trace(S) / |G|^2

of which appendix A.1 gives estimates without bias, for B rows with gradients g_i of mean g:

    trace(S) ~ (mean |g_i|^2 - |g|^2) / (1 - 1 / B)
    |G|^2    ~ |g|^2 - trace(S) / B
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from src.errors import UserError
from src.steps.step import Step

NAME = "gradient_noise_scale"


class GradientNoiseScale(Step):
    """The updates of `standard`, and `train/gradient_noise_scale` of each epoch, in rows.

    The rows' gradients are those of their losses in one pass through the model, so that dropout
    masks and the statistics of batch normalisation are the update's own; penalties on weights are
    left out. They need `rows * weights` numbers of memory and most of an update's time.

    Args:
        model: see `Step`.
        optimizer: see `Step`.
        loss: see `Step`; one that gives each row its own, as Keras' losses do.
        metrics: see `Step`.

    Raises:
        UserError: the loss gives no value for each row.
    """

    TRAINING_ONLY = (NAME,)

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
    ) -> None:
        super().__init__(model, optimizer, loss, metrics)
        if not isinstance(loss, keras.losses.Loss):
            raise UserError(f"step={NAME}: it needs the loss of each row, from a keras.losses.Loss")
        self.noise_scale = NoiseScale(name=NAME)
        self.own_metrics[NAME] = self.noise_scale

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        weights = self.weights
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(weights)
            predictions = self.model(x, training=True)  # (batch, classes)
            loss = self.loss(y, predictions) + sum(self.model.losses)
            each = self.loss.call(y, predictions)  # (batch,), or (batch, positions) of sequences
            losses = tf.reduce_mean(tf.reshape(each, [tf.shape(x)[0], -1]), axis=1)  # (batch,)
        self.noise_scale.update_state(tape.jacobian(losses, weights))
        self.apply_gradients(tape.gradient(loss, weights))
        self.update_metrics(loss, y, predictions)
        return loss


class NoiseScale(keras.metrics.Metric):
    """Sums of both estimates, each batch weighted by its rows, and their quotient.

    The quotient is taken of the sums, not summed itself: a single batch's is mostly noise.
    """

    def __init__(self, name: str = NAME, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.noise = self.add_weight(name="noise", initializer="zeros")
        self.signal = self.add_weight(name="signal", initializer="zeros")

    def update_state(self, gradients: list[tf.Tensor | None]) -> None:
        """Add a batch's gradients, for each variable `(rows, *shape)`; one row tells nothing."""
        known = [gradient for gradient in gradients if gradient is not None]
        rows = tf.cast(tf.shape(known[0])[0], known[0].dtype)
        of_rows = tf.add_n([tf.reduce_sum(gradient**2) for gradient in known]) / rows
        of_mean = tf.add_n([tf.reduce_sum(tf.reduce_mean(g, axis=0) ** 2) for g in known])
        noise = tf.math.divide_no_nan((of_rows - of_mean) * rows, rows - 1)
        signal = tf.where(rows > 1, of_mean - noise / rows, 0)
        self.noise.assign_add(tf.cast(rows * noise, self.noise.dtype))
        self.signal.assign_add(tf.cast(rows * signal, self.signal.dtype))

    def result(self) -> tf.Tensor:
        """The noise scale in rows; infinite where the noise hides the gradient."""
        found = self.signal > 0
        return tf.where(found, self.noise / tf.where(found, self.signal, 1), float("inf"))

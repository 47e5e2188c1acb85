"""Mixup: training on weighted means of two rows and of their labels.

Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2018:

    share   ~ Beta(alpha, alpha), one for the batch; partner: a permutation of its rows
    x_mixed <- share * x + (1 - share) * x[partner]
    y_mixed <- share * y + (1 - share) * y[partner]
    weights <- optimizer(weights, d loss(y_mixed, model(x_mixed)) / d weights)

Of integer labels the two losses are mixed, as in the authors' code: for cross-entropy the same.
"""

from collections.abc import Mapping
from typing import Annotated

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from src.data.dataset import Dataset
from src.steps.inputs import check_differentiable
from src.steps.step import Step


class Mixup(Step):
    """One tape, over rows that are mixed anew at each update.

    Training metrics hold the predictions for mixed rows against the mixed labels, or the integer
    label with the greater share: they look worse than those of validation, which mixes nothing.

    Args:
        model: see `Step`.
        optimizer: see `Step`.
        loss: see `Step`.
        metrics: see `Step`.
        dataset: what is trained on.
        alpha: of the Beta distribution: near 0 rows hardly mix, 1 draws any share alike.

    Raises:
        UserError: the rows are nothing of which a mean can be taken, such as numbers of words.
    """

    SCALES_LOSS = True
    TENSOR_ATTRIBUTES = ("alpha",)  # sweep members may differ in it: src/attributes.py

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
        dataset: Dataset,
        alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ) -> None:
        super().__init__(model, optimizer, loss, metrics)
        check_differentiable(model, dataset, "step=mixup")
        self.alpha = alpha
        self.random = keras.random.SeedGenerator(name="mixup")  # seeded by the run's seed

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        """The random stream too, so that a resumed run draws what it would have drawn."""
        return super().state | {"mixup": [self.random.state]}

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        weights = self.weights
        share, partner = self.draw(keras.ops.shape(x)[0], x.dtype)
        x = share * x + (1 - share) * tf.gather(x, partner)
        others = tf.gather(y, partner)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            predictions = self.model(x, training=True)  # (batch, classes)
            if y.dtype.is_integer:
                loss = share * self.loss(y, predictions)
                loss += (1 - share) * self.loss(others, predictions)
                y = tf.where(share < 0.5, others, y)  # for the metrics
            else:
                y = share * y + (1 - share) * others
                loss = self.loss(y, predictions)
            loss += sum(self.model.losses)
            scaled = self.optimizer.scale_loss(loss)  # the loss itself, unless in float16
        self.apply_gradients(tape.gradient(scaled, weights))
        self.update_metrics(loss, y, predictions)
        return loss

    def draw(self, rows: int, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
        """The first row's share, a scalar, and the partner of each row, `(batch,)` int32."""
        # A fixed shape, of which sweep members' numbers are drawn side by side.
        numbers = keras.random.uniform([rows + 2], seed=self.random, dtype=dtype)
        # Sorted random numbers are a permutation. It costs little, and unlike TensorFlow's own
        # shuffle it goes through XLA and side by side for sweep members.
        return symmetric_beta(numbers[0], numbers[1], self.alpha), tf.argsort(numbers[2:])


def symmetric_beta(u: tf.Tensor, v: tf.Tensor, alpha: tf.Tensor | float) -> tf.Tensor:
    """A number distributed as Beta(alpha, alpha), of two that are uniform from 0 to 1.

        q <- u ** (1 / alpha); c <- cos(2 pi v)
        1/2 + c / 2 * sqrt((1 - q) / (q + (1 - q) c^2))

    Devroye, "Random variate generation in one line of code", 1996: t = c sqrt(2 alpha (1 / q - 1))
    has Student's distribution with 2 alpha degrees of freedom (Bailey 1994), and so
    1/2 + t / (2 sqrt(2 alpha + t^2)) this one. TensorFlow's gamma numbers have no form for XLA.
    """
    q = u ** (1 / tf.cast(alpha, u.dtype))
    c = tf.cos(2 * np.pi * v)
    share = 0.5 + c / 2 * tf.sqrt((1 - q) / (q + (1 - q) * c**2))
    return tf.clip_by_value(share, 0, 1)  # rounding may go past them

"""Gradient penalty: training for a loss that changes little with the inputs.

Drucker and LeCun, "Improving generalization performance using double backpropagation", 1992:

    penalty <- mean over the rows of | d loss of the row / d x of the row |^2
    weights <- optimizer(weights, d (loss + weight * penalty) / d weights)
"""

from collections.abc import Mapping
from typing import Annotated

import keras
import tensorflow as tf
from pydantic import Field

from src.data.dataset import Dataset
from src.errors import UserError
from src.steps.inputs import check_differentiable
from src.steps.step import Step


class GradientPenalty(Step):
    """A tape inside a tape: the outer one differentiates what the inner one computes.

    The loss reported is the whole of what is minimised in training, the plain loss in validation.

    Args:
        model: see `Step`.
        optimizer: see `Step`.
        loss: see `Step`.
        metrics: see `Step`.
        dataset: what is trained on.
        weight: how much the penalty counts beside the loss; 0 is `standard`.

    Raises:
        UserError: there is no derivative with respect to the inputs.
    """

    TENSOR_ATTRIBUTES = ("weight",)  # sweep members may differ in it: src/attributes.py

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
        dataset: Dataset,
        weight: Annotated[float, Field(ge=0, allow_inf_nan=False)],
    ) -> None:
        super().__init__(model, optimizer, loss, metrics)
        check_differentiable(model, dataset, "step=gradient_penalty")
        if loss.reduction == "sum":
            raise UserError(
                "loss.reduction=sum: step=gradient_penalty takes a row's slope from the mean over "
                "the rows; leave it out"
            )
        self.weight = weight

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        weights = self.weights
        rows = tf.cast(tf.shape(x)[0], x.dtype)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(x)
                predictions = self.model(x, training=True)  # (batch, classes)
                loss = self.loss(y, predictions)
            # The loss is a mean over the rows, so each row's own slope is `rows` times as great.
            slopes = rows * inner.gradient(loss, x)  # (batch, *input_shape)
            penalty = tf.reduce_sum(slopes**2) / rows
            loss += self.weight * penalty + sum(self.model.losses)
        self.apply_gradients(tape.gradient(loss, weights))
        self.update_metrics(loss, y, predictions)
        return loss

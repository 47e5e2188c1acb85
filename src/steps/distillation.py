"""Distillation: a model learns from the predictions of one that is trained already.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015:

    p       <- softmax(teacher's logits / temperature)
    q       <- softmax(model's logits / temperature)
    weights <- optimizer(weights, d ((1 - alpha) * loss + alpha * temperature^2 * KL(p, q))
                                  / d weights)

with KL(p, q) the mean over the rows of sum p log(p / q): cross-entropy less the teacher's own
entropy, which no weight changes. The square of the temperature keeps the size of the gradient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from src.data.dataset import Dataset
from src.data.inputs import Inputs
from src.errors import UserError
from src.steps.step import Step


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model.

    Attributes:
        model: `(batch, *input_shape)` to `(batch, classes)`.
        from_logits: whether it gives logits, else probabilities; None: neither.
        inputs: what it takes, and how that was scaled.
    """

    model: keras.Model
    from_logits: bool | None
    inputs: Inputs


class Distillation(Step):
    """One tape, over the loss of the labels and the distance to the teacher's predictions.

    The teacher predicts as in inference. Its weights are constants: no part of the run's state,
    but part of its configuration, by their digest. In training `loss` is all that is minimised, in
    validation the loss of the labels.

    Args:
        model: see `Step`; the student.
        optimizer: see `Step`.
        loss: see `Step`; one that says whether predictions are logits.
        metrics: see `Step`.
        dataset: what is trained on.
        load_teacher: loads a run's model from its best checkpoint, whose digest it checks.
        teacher: the run, by its id or folder.
        teacher_sha256: of the best checkpoint's file; filled in as the run starts.
        temperature: the higher, the more the less likely classes count.
        alpha: the teacher's share; 0 is `standard`.

    Raises:
        UserError: there is no such run, or its model was trained for something else.
    """

    SCALES_LOSS = True
    TENSOR_ATTRIBUTES = ("temperature", "alpha")  # members may differ: src/attributes.py

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
        dataset: Dataset,
        load_teacher: Callable[[str, str | None], Teacher],
        teacher: str,
        teacher_sha256: str | None,
        temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)],
        alpha: Annotated[float, Field(ge=0, le=1)],
    ) -> None:
        super().__init__(model, optimizer, loss, metrics)
        self.teacher = load_teacher(teacher, teacher_sha256)
        _check_fits(self.teacher, dataset, f"step.teacher={teacher}")
        self.from_logits: bool | None = getattr(loss, "from_logits", None)
        if self.from_logits is None:
            raise UserError(
                f"step=distillation: {type(loss).__name__} compares numbers, and a teacher gives "
                "probabilities of classes; use a cross-entropy"
            )
        self.temperature = temperature
        self.alpha = alpha

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        weights = self.weights
        outputs = self.teacher.model(x, training=False)  # (batch, classes)
        target = self.softened(outputs, self.teacher.from_logits)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            predictions = self.model(x, training=True)  # (batch, classes)
            found = self.softened(predictions, self.from_logits)
            distances = tf.reduce_sum(tf.exp(target) * (target - found), axis=-1)  # (batch,)
            loss = (1 - self.alpha) * self.loss(y, predictions)
            loss += self.alpha * self.temperature**2 * tf.reduce_mean(distances)
            loss += sum(self.model.losses)
            scaled = self.optimizer.scale_loss(loss)  # the loss itself, unless in float16
        self.apply_gradients(tape.gradient(scaled, weights))
        self.update_metrics(loss, y, predictions)
        return loss

    def softened(self, predictions: tf.Tensor, from_logits: bool | None) -> tf.Tensor:
        """The logarithms of the probabilities at the temperature, `(batch, classes)`."""
        predictions = tf.cast(predictions, self.model.variable_dtype)  # of 16 bits, too coarse
        if not from_logits:  # their logarithms are logits
            predictions = tf.math.log(tf.maximum(predictions, keras.config.epsilon()))
        return tf.nn.log_softmax(predictions / tf.cast(self.temperature, predictions.dtype))


def _check_fits(teacher: Teacher, dataset: Dataset, key: str) -> None:
    """See that the teacher knows the student's task.

    Raises:
        UserError: naming `key` and what differs.
    """
    if teacher.from_logits is None:
        raise UserError(f"{key}: its model was trained to give numbers, not probabilities")
    of_teacher, of_student = teacher.inputs, Inputs.of(dataset)
    for what in ("input_shape", "num_classes", "class_names"):
        known, given = getattr(of_teacher, what), getattr(of_student, what)
        if known != given:
            raise UserError(
                f"{key}: it was trained with {what} {known}, {dataset.name} has {given}"
            )
    theirs, ours = of_teacher.scaling, of_student.scaling
    if not (
        np.array_equal(theirs.offset, ours.offset) and np.array_equal(theirs.scale, ours.scale)
    ):
        raise UserError(
            f"{key}: it was trained on rows that were scaled otherwise; give this run the "
            "teacher's data.normalisation, data.seed and fractions"
        )

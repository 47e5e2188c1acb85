"""What training made of a model: how right, sure, robust and flat it is."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from src.data.dataset import Dataset, Split
from src.errors import UserError
from src.measures.calibration import expected_calibration_error
from src.measures.settings import Measure
from src.measures.sharpness import sharpness
from src.steps.adversarial import Adversarial
from src.steps.step import Step


@dataclass(frozen=True)
class Effects:
    """Figures of one trained model.

    Attributes:
        accuracy: on the test rows.
        calibration_error: on the test rows.
        robust_accuracy: on the test rows, attacked.
        sharpness: greatest eigenvalue of the Hessian of the loss of training rows.
    """

    accuracy: float
    calibration_error: float
    robust_accuracy: float
    sharpness: float


def measure(step: Step, dataset: Dataset, batch_size: int, how: Measure) -> Effects:
    """Measure the model of a step, at the weights it has.

    Raises:
        UserError: its predictions are no classes.
    """
    from_logits = getattr(step.loss, "from_logits", None)
    if dataset.labels == "real" or from_logits is None:
        raise UserError("loss: these measures are of classes; use a cross-entropy")
    attacker = Adversarial(
        step.model,
        step.optimizer,
        step.loss,
        {},
        dataset,
        epsilon=how.epsilon,
        step_size=None,
        iterations=how.attack_iterations,
        norm="linf",
        clip="data",
        random_start=False,
        clean_weight=0.0,
    )

    @tf.function(reduce_retracing=True)
    def both(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        attacked = attacker.attack(x, y, x)
        return step.model(x, training=False), step.model(attacked, training=False)

    split = dataset.test or dataset.val
    parts = [both(tf.constant(x), tf.constant(y)) for x, y in _batches(split, batch_size)]
    clean, robust = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
    labels = split.y if dataset.labels == "integer" else split.y.argmax(axis=1)
    rows = min(how.rows, dataset.train_rows)
    return Effects(
        accuracy=float((clean.argmax(axis=1) == labels).mean()),
        calibration_error=expected_calibration_error(
            keras.ops.convert_to_numpy(keras.ops.softmax(clean)) if from_logits else clean,
            labels,
            how.bins,
        ),
        robust_accuracy=float((robust.argmax(axis=1) == labels).mean()),
        sharpness=sharpness(
            step.model,
            step.loss,
            dataset.train.x[:rows],
            dataset.train.y[:rows],
            iterations=how.power_iterations,
        ),
    )


def _batches(split: Split, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(split.x[i : i + size], split.y[i : i + size]) for i in range(0, split.rows, size)]

"""What steps ask of the data that change or differentiate by the inputs."""

import keras
import tensorflow as tf

from src.data.dataset import Dataset
from src.errors import UserError


def check_differentiable(model: keras.Model, dataset: Dataset, key: str) -> None:
    """See that predictions have a derivative with respect to the inputs, on one row.

    Raises:
        UserError: naming `key`; they have none where inputs are numbers of words, not amounts.
    """
    x = tf.constant(dataset.val.x[:1])
    gradient = None
    if x.dtype.is_floating:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            total = tf.reduce_sum(model(x, training=False))
        gradient = tape.gradient(total, x)
    if gradient is None:
        raise UserError(
            f"{key}: the model's predictions have no derivative with respect to the inputs of "
            f"{dataset.name}, whose values it takes for numbers of things, not for amounts; "
            "use another step"
        )

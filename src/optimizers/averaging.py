"""A moving average of the weights, with which a model is evaluated and kept.

    decay_t = min(decay, (1 + t) / (10 + t))       after t updates
    average <- average - (1 - decay_t) * (average - weight)

Averaging the last iterates of a noisy descent: Polyak & Juditsky 1992. The shorter memory at first,
so that the initial weights are soon forgotten, is that of `tf.train.ExponentialMovingAverage`. The
moving statistics of normalisations are averaged too, as for EfficientNet (Tan & Le 2019): those of
the last batches belong to other weights than the averaged ones.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from src.optimizers.wrapper import Gradients, Variables, Wrapper, layers, variable_like

Pairs = list[tuple[keras.Variable, keras.Variable]]


class Averaging(Wrapper):
    """Follows the weights of a model after each update.

    Args:
        inner: the optimizer.
        model: whose weights are averaged, but those that are frozen.
        decay: from 0 to below 1, the share of the average that an update keeps.
    """

    def __init__(self, inner: Any, model: keras.Model, decay: float) -> None:
        self.decay = decay
        self.pairs: Pairs = [
            (weight, variable_like(weight, weight.value, "average"))
            for weight in model.weights
            if "float" in weight.dtype and not _frozen(weight)
        ]
        super().__init__(inner, [average for _, average in self.pairs])

    def apply(self, gradients: Gradients, variables: Variables) -> None:
        """Update the variables, then the averages."""
        self.inner.apply(gradients, variables)
        updates = tf.cast(self.inner.iterations.value, tf.float32)
        kept = tf.minimum(self.decay, (1 + updates) / (10 + updates))
        for weight, average in self.pairs:
            value = tf.convert_to_tensor(average.value)
            average.assign(value - tf.cast(1 - kept, value.dtype) * (value - weight.value))


def _frozen(weight: keras.Variable) -> bool:
    """Whether it was made to be trained and isn't; moving statistics never were."""
    return bool(weight.value.trainable) and not weight.trainable


def pairs(optimizer: Any) -> Pairs:
    """The weights and their averages; none where the optimizer keeps no averages."""
    for layer in layers(optimizer):
        if isinstance(layer, Averaging):
            return layer.pairs
    return []


@contextlib.contextmanager
def averaged(optimizer: Any) -> Iterator[None]:
    """Within it, the weights have the values of their averages, where there are averages."""
    found = pairs(optimizer)
    before = [tf.identity(weight.value) for weight, _ in found]
    for weight, average in found:
        weight.assign(average.value)
    yield
    for (weight, _), value in zip(found, before, strict=True):
        weight.assign(value)

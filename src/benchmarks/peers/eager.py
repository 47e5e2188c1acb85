"""The loop of TensorFlow's guides, written by hand and run operation by operation."""

import keras
import tensorflow as tf

from src.benchmarks.peers import keras_parts
from src.benchmarks.peers.work import Work


class Eager:
    """A `tf.data` pipeline, a tape, an optimizer."""

    label = "hand-written eager loop"

    def __init__(self, work: Work) -> None:
        self.model = keras_parts.model(work)
        self.optimizer = keras_parts.optimizer(work)
        self.loss = keras_parts.loss(work)
        self.mean_loss = keras.metrics.Mean()
        self.accuracy = keras_parts.accuracy(work)
        rows = tf.data.Dataset.from_tensor_slices(work.arrays())
        self.in_order = rows.batch(work.batch_size).prefetch(tf.data.AUTOTUNE)
        shuffled = rows.shuffle(1024).batch(work.batch_size)
        self.shuffled = shuffled.prefetch(tf.data.AUTOTUNE)

    def step(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """One update from x (batch, ...) and y (batch,) or (batch, classes)."""
        with tf.GradientTape() as tape:
            predictions = self.model(x, training=True)
            loss = self.loss(y, predictions)
        weights = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.mean_loss.update_state(loss, sample_weight=tf.shape(x)[0])
        self.accuracy.update_state(y, predictions)

    def train(self, epochs: int, *, shuffled: bool) -> float:
        """Train; the mean loss of the last epoch."""
        loss = float("nan")
        for _ in range(epochs):
            for x, y in self.shuffled if shuffled else self.in_order:
                self.step(x, y)
            loss = float(self.mean_loss.result())
            float(self.accuracy.result())
            self.mean_loss.reset_state()
            self.accuracy.reset_state()
        return loss


def load(work: Work) -> Eager:
    """The loop, ready to train."""
    return Eager(work)

"""The plain training step: gradient descent on the loss of a batch.

weights <- optimizer(weights, d loss / d weights)
"""

import tensorflow as tf

from src.steps.step import Step


class Standard(Step):
    """One tape, one update."""

    SCALES_LOSS = True

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        weights = self.weights
        # What is trained, and nothing else: frozen variables (step.train_only) cost no gradient.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            predictions = self.model(x, training=True)  # (batch, classes)
            loss = self.loss(y, predictions) + sum(self.model.losses)
            scaled = self.optimizer.scale_loss(loss)  # the loss itself, unless in float16
        gradients = tape.gradient(scaled, weights)
        self.apply_gradients(gradients)
        self.update_metrics(loss, y, predictions)
        return loss

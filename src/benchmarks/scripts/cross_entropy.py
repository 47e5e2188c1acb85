"""Cross-entropy of logits, for rows of labels that need not sum to 1."""

import keras


class CrossEntropy(keras.losses.Loss):
    """-sum over k of y[k] log softmax(logits)[k], the mean over the batch.

    The gradient of TensorFlow's own operation, which `keras.losses.CategoricalCrossentropy` calls,
    takes the labels' sum for 1, and random labels sum to about classes / 2. In this harness
    operations are deterministic, and then TensorFlow computes it as here.
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each row: (batch,) of labels and logits (batch, classes)."""
        return -keras.ops.sum(y_true * keras.ops.log_softmax(y_pred), axis=-1)

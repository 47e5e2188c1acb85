"""A loss whose rows weigh as much as their classes.

    loss of a row <- weight[class of the row] * loss of the row

Of one-hot and soft labels the weight of a row is sum_c y_c weight_c. The mean is still over the
rows, as with the `class_weight` of Keras' `fit`: not divided by the weights' sum.
"""

from collections.abc import Sequence
from typing import Any

import keras


class ClassWeighted(keras.losses.Loss):
    """The loss `inner`, its rows weighted.

    Args:
        inner: a loss of Keras' kind: `call` gives the loss of each row.
        weights: one for each class.
    """

    WRAPS = True  # sweep members may differ in what `inner` declares: src/attributes.py

    def __init__(self, inner: keras.losses.Loss, weights: Sequence[float]) -> None:
        super().__init__(name=inner.name, reduction=inner.reduction, dtype=inner.dtype)
        self.inner = inner
        if hasattr(inner, "from_logits"):  # what is done with the outputs depends on it
            self.from_logits = inner.from_logits
        self.weights = tuple(weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The weighted loss of each row (batch,), or of each position (batch, length).

        Args:
            y_true: class numbers (batch,) or (batch, length), or labels (batch, classes).
            y_pred: (batch, classes) or (batch, length, classes).
        """
        losses = self.inner.call(y_true, y_pred)
        weights = keras.ops.convert_to_tensor(self.weights, losses.dtype)
        if len(y_true.shape) == len(losses.shape):  # class numbers
            return losses * keras.ops.take(weights, keras.ops.cast(y_true, "int32"))
        return losses * keras.ops.sum(keras.ops.cast(y_true, losses.dtype) * weights, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"inner": self.inner, "weights": self.weights}

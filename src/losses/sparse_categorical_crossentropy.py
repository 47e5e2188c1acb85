"""Cross-entropy of integer labels, with label smoothing (Szegedy et al. 2016)."""

from typing import Annotated, Any, Literal

import keras
from pydantic import Field

Reduction = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]


@keras.saving.register_keras_serializable(package="harness")
class SparseCategoricalCrossentropy(keras.losses.Loss):
    """Keras' loss of this name takes no label smoothing; this one does.

    With K classes and smoothing s, the label's share is 1 - s + s / K and that of each other class
    s / K, which makes the loss of a row

        -(1 - s) log p[label] - s / K * sum over k of log p[k]

    No one-hot labels are made for it. Without smoothing it is Keras' own.

    Args:
        from_logits: whether predictions are logits, else probabilities that sum to 1.
        label_smoothing: s, from 0 to below 1.
        reduction: how the rows' losses become one.
    """

    TENSOR_ATTRIBUTES = ("label_smoothing",)  # sweep members may differ in it: src/attributes.py

    def __init__(
        self,
        from_logits: bool,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)],
        reduction: Reduction,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row: (batch,) of labels (batch,) and predictions (batch, classes)."""
        of_label = keras.losses.sparse_categorical_crossentropy(
            y_true, y_pred, from_logits=self.from_logits
        )
        if not keras.ops.is_tensor(self.label_smoothing) and not self.label_smoothing:
            return of_label
        if self.from_logits:
            log_probabilities = keras.ops.log_softmax(y_pred, axis=-1)
        else:
            smallest = keras.config.epsilon()  # as Keras clips them
            log_probabilities = keras.ops.log(keras.ops.clip(y_pred, smallest, 1 - smallest))
        of_all = -keras.ops.mean(log_probabilities, axis=-1)
        return (1 - self.label_smoothing) * of_label + self.label_smoothing * of_all

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
        }

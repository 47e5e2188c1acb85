"""One dense layer: logistic regression under cross-entropy, linear regression under squares."""

from typing import Annotated, Any

import keras
from pydantic import Field


@keras.saving.register_keras_serializable(package="harness")
class Linear(keras.Model):
    """One dense layer.

        logits = dense(num_classes)(flatten(inputs))     # (batch, num_classes)

    Args:
        num_classes: width of the output, offered by the data.
    """

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        name: str = "linear",
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.num_classes = num_classes
        self.flatten = keras.layers.Flatten(name="flatten", dtype=self.dtype_policy)
        # Logits stay in the variables' precision: half-precision ones would overflow in the loss.
        self.logits = keras.layers.Dense(
            num_classes, name="logits", dtype=self.dtype_policy.variable_dtype
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of `input_shape`, batch axis included."""
        self.flatten.build(input_shape)
        self.logits.build(self.flatten.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Logits (batch, num_classes) of inputs (batch, ...)."""
        return self.logits(self.flatten(inputs))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}

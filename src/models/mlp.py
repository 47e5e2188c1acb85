"""A multilayer perceptron: dense layers one after another."""

from typing import Annotated, Any

import keras
from pydantic import Field

from src.models.activation import check_activation


@keras.saving.register_keras_serializable(package="harness")
class MLP(keras.Model):
    """Dense layers with an activation, then a dense layer that gives logits.

        x = flatten(inputs)                              # (batch, features)
        for units in hidden:
            x = dropout(activation(dense(units)(x)))     # (batch, units)
        logits = dense(num_classes)(x)                   # (batch, num_classes)

    Args:
        num_classes: width of the output, offered by the data.
        hidden: units of each hidden layer; an empty list leaves a linear model.
        activation: a Keras activation by name.
        dropout: share of each hidden layer's outputs set to zero in training.

    Raises:
        UserError: when there is no such activation.
    """

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        hidden: list[Annotated[int, Field(gt=0)]],
        activation: str,
        dropout: Annotated[float, Field(ge=0, lt=1)],
        name: str = "mlp",
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.num_classes = num_classes
        self.hidden = tuple(hidden)
        self.activation = check_activation(activation)
        self.dropout = dropout
        policy = self.dtype_policy
        self.flatten = keras.layers.Flatten(name="flatten", dtype=policy)
        self.dense_layers = [
            keras.layers.Dense(units, activation, name=f"dense_{number}", dtype=policy)
            for number, units in enumerate(hidden, start=1)
        ]
        # No layer at all for a rate of 0: random operations keep a program from XLA on a CPU.
        self.dropout_layers = [
            keras.layers.Dropout(dropout, name=f"dropout_{number}", dtype=policy)
            for number in range(1, len(hidden) + 1)
            if dropout > 0
        ]
        # Logits stay in the variables' precision: half-precision ones would overflow in the loss.
        self.logits = keras.layers.Dense(num_classes, name="logits", dtype=policy.variable_dtype)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of `input_shape`, batch axis included."""
        self.flatten.build(input_shape)
        shape = self.flatten.compute_output_shape(input_shape)
        for layer in (*self.dense_layers, self.logits):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        for layer in self.dropout_layers:
            layer.build(shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Logits (batch, num_classes) of inputs (batch, ...)."""
        x = self.flatten(inputs)
        for number, dense in enumerate(self.dense_layers):
            x = dense(x)
            if self.dropout_layers:
                x = self.dropout_layers[number](x, training=training)
        return self.logits(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "dropout": self.dropout,
        }

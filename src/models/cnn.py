"""A small convolutional network with batch normalisation (Ioffe & Szegedy 2015)."""

from typing import Annotated, Any, Literal

import keras
from pydantic import Field

from src.models.activation import check_activation
from src.models.pictures import PictureModel


@keras.saving.register_keras_serializable(package="harness")
class CNN(PictureModel):
    """Blocks that halve the picture, then a dense layer that gives logits.

        x = inputs                                           # (batch, height, width, channels)
        for count in filters:
            x = activation(batch_normalisation(convolution(count)(x)))
            x = max_pool(x)                                  # or the convolution takes strides of 2
        logits = dense(num_classes)(dropout(flatten(x)))     # (batch, num_classes)

    Pictures without a channel axis (batch, height, width) get one. Odd sizes are padded, so that
    any size can be halved any number of times.

    Args:
        num_classes: width of the output, offered by the data.
        filters: of each block's convolution.
        kernel_size: of the convolutions, in pixels.
        downsampling: how a block halves height and width. `stride` takes a quarter of the
            arithmetic, `max_pool` is more accurate.
        activation: a Keras activation by name.
        dropout: share of the last block's outputs set to zero in training.
        normalisation_momentum: share of the running mean and variance kept at each update.

    Raises:
        UserError: when there is no such activation; in `build`, when the inputs are no pictures.
    """

    choice = "cnn"

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        filters: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)],
        kernel_size: Annotated[int, Field(gt=0)],
        downsampling: Literal["max_pool", "stride"],
        activation: str,
        dropout: Annotated[float, Field(ge=0, lt=1)],
        normalisation_momentum: Annotated[float, Field(ge=0, lt=1)],
        name: str = "cnn",
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.num_classes = num_classes
        self.filters = tuple(filters)
        self.kernel_size = kernel_size
        self.downsampling = downsampling
        self.activation = check_activation(activation)
        self.dropout = dropout
        self.normalisation_momentum = normalisation_momentum
        policy = self.dtype_policy
        self.blocks = []
        for number, count in enumerate(filters, start=1):
            self.blocks += [
                keras.layers.Conv2D(
                    count,
                    kernel_size,
                    strides=2 if downsampling == "stride" else 1,
                    padding="same",
                    use_bias=False,  # the normalisation subtracts it again
                    name=f"convolution_{number}",
                    dtype=policy,
                ),
                keras.layers.BatchNormalization(
                    momentum=normalisation_momentum, name=f"normalisation_{number}", dtype=policy
                ),
                keras.layers.Activation(activation, name=f"activation_{number}", dtype=policy),
            ]
            if downsampling == "max_pool":
                pool = keras.layers.MaxPooling2D(
                    2, padding="same", name=f"pool_{number}", dtype=policy
                )
                self.blocks.append(pool)
        self.blocks.append(keras.layers.Flatten(name="flatten", dtype=policy))
        # No layer at all for a rate of 0: random operations keep a program from XLA on a CPU.
        if dropout > 0:
            self.blocks.append(keras.layers.Dropout(dropout, name="dropout", dtype=policy))
        # Logits stay in the variables' precision: half-precision ones would overflow in the loss.
        self.logits = keras.layers.Dense(num_classes, name="logits", dtype=policy.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "filters": list(self.filters),
            "kernel_size": self.kernel_size,
            "downsampling": self.downsampling,
            "activation": self.activation,
            "dropout": self.dropout,
            "normalisation_momentum": self.normalisation_momentum,
        }

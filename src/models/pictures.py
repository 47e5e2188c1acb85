"""What models of pictures share: the channel axis, layers in a row, logits."""

from collections.abc import Iterable
from typing import Any, ClassVar

import keras

from src.errors import UserError


class PictureModel(keras.Model):
    """Layers one after the other over pictures, the last of which gives logits.

    Pictures without a channel axis (batch, height, width) get one. Subclasses create the layers in
    their constructor.

    Attributes:
        choice: the model's name in conf/model, for messages.
        blocks: the layers, in order.
        logits: the last one.

    Raises:
        UserError: in `build`, when the inputs are no pictures.
    """

    choice: ClassVar[str]
    blocks: list[keras.layers.Layer]
    logits: keras.layers.Layer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of `input_shape`, batch axis included."""
        if len(input_shape) not in (3, 4):
            raise UserError(
                f"model={self.choice}: it takes pictures (height, width, channels) or (height, "
                f"width), and a row of the data has shape {tuple(input_shape[1:])}; use model=mlp"
            )
        build_in_row(
            (*self.blocks, self.logits),
            (*input_shape, 1) if len(input_shape) == 3 else input_shape,
        )
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Logits (batch, num_classes) of pictures (batch, height, width[, channels])."""
        x = keras.ops.expand_dims(inputs, -1) if len(inputs.shape) == 3 else inputs
        return self.logits(call_in_row(self.blocks, x, training))


def build_in_row(layers: Iterable[keras.layers.Layer], shape: tuple[int | None, ...]) -> None:
    """Create the weights of layers that are called one after the other, the first on `shape`."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)


def call_in_row(layers: Iterable[keras.layers.Layer], x: Any, training: bool | None) -> Any:
    """Call the layers one after the other; one that has no use for `training` is not given it."""
    for layer in layers:
        x = layer(x, training=training)
    return x

"""A small transformer encoder (Vaswani et al. 2017) for pictures, sequences and text."""

from typing import Annotated, Any

import keras
import numpy as np
from keras import ops
from pydantic import Field

from src.errors import UserError


class EncoderBlock(keras.layers.Layer):
    """Attention between the positions, then two dense layers at each, both added to their input.

        x = x + dropout(attention(normalisation(x)))
        x = x + dropout(dense(gelu(dense(normalisation(x)))))

    Normalising first lets it train without a warm-up (Xiong et al. 2020).

    Args:
        width: of each position.
        heads: of the attention, of width / heads each.
        dropout: share of the outputs of both parts set to zero in training.
        causal: whether a position sees itself and those before it alone.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, causal: bool, name: str, dtype: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.width, self.heads, self.causal = width, heads, causal
        layers, policy = keras.layers, self.dtype_policy
        self.attention_norm = layers.LayerNormalization(name="attention_norm", dtype=policy)
        self.projection = layers.Dense(3 * width, name="projection", dtype=policy)
        self.attended = layers.Dense(width, name="attended", dtype=policy)
        self.dense_norm = layers.LayerNormalization(name="dense_norm", dtype=policy)
        self.dense_1 = layers.Dense(4 * width, "gelu", name="dense_1", dtype=policy)
        self.dense_2 = layers.Dense(width, name="dense_2", dtype=policy)
        # No layer at all for a rate of 0: random operations keep a program from XLA on a CPU.
        self.dropouts = [
            layers.Dropout(dropout, name=f"dropout_{number}", dtype=policy)
            for number in (1, 2)
            if dropout > 0
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs (batch, positions, width)."""
        parts = (self.attention_norm, self.projection, self.attended, self.dense_norm, self.dense_1)
        for layer in (*parts, *self.dropouts):
            layer.build(input_shape)
        self.dense_2.build(self.dense_1.compute_output_shape(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the inputs."""
        return input_shape

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Positions (batch, positions, width) to the same shape."""
        x = self.attended(self._attention(self.projection(self.attention_norm(inputs))))
        x = inputs + self._dropped(0, x, training)
        y = self.dense_2(self.dense_1(self.dense_norm(x)))
        return x + self._dropped(1, y, training)

    def _attention(self, projected: Any) -> Any:
        """softmax(query key^T / sqrt(width / heads)) value, by head: (batch, positions, width)."""
        positions, size = projected.shape[1], self.width // self.heads
        x = ops.reshape(projected, (-1, positions, 3, self.heads, size))
        query, key, value = ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), 3)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / size**0.5
        if self.causal:
            seen = np.tri(positions, dtype=bool)
            # Smaller than any score, and still a number in half precision.
            scores = ops.where(seen, scores, ops.cast(-3e4, scores.dtype))
        x = ops.matmul(ops.softmax(scores, axis=-1), value)  # (batch, heads, positions, size)
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, positions, self.width))

    def _dropped(self, number: int, x: Any, training: bool | None) -> Any:
        return self.dropouts[number](x, training=training) if self.dropouts else x


@keras.saving.register_keras_serializable(package="harness")
class Transformer(keras.Model):
    """Positions that attend to each other, and logits of their mean or of each of them.

        x = embedding(inputs) + positions                # (batch, positions, width)
        for _ in range(depth):
            x = encoder_block(x)
        x = normalisation(x)
        logits = dense(num_classes)(mean over positions of x)   # (batch, num_classes)
        logits = dense(num_classes)(x)                          # (batch, positions, num_classes)

    The positions are tokens of a vocabulary (batch, length); the rows of sequences (batch, length,
    features); or the patches of pictures (batch, height, width, channels), padded with zeros to
    whole patches (Dosovitskiy et al. 2021).

    Args:
        num_classes: width of the output, offered by the data.
        vocabulary: how many tokens there are; None where inputs are numbers; offered by the data.
        each_position: whether each position has logits of its own; offered by the data.
        patch_size: height and width of the patches of pictures, in pixels.
        width: of each position, a multiple of `heads`.
        depth: how many blocks.
        heads: of the attention.
        dropout: share of the outputs of the blocks' parts set to zero in training.
        causal: whether a position sees itself and those before it alone; None: where each position
            has logits of its own, as the next token must not be seen by what predicts it.

    Raises:
        UserError: `width` doesn't fit `heads`; in `build`, when the inputs have no positions.
    """

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        vocabulary: Annotated[int, Field(gt=0)] | None,
        each_position: bool,
        patch_size: Annotated[int, Field(gt=0)],
        width: Annotated[int, Field(gt=0)],
        depth: Annotated[int, Field(gt=0)],
        heads: Annotated[int, Field(gt=0)],
        dropout: Annotated[float, Field(ge=0, lt=1)],
        causal: bool | None,
        name: str = "transformer",
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        if width % heads:
            raise UserError(f"model.width={width}: give a multiple of model.heads={heads}")
        self.num_classes = num_classes
        self.vocabulary = vocabulary
        self.each_position = each_position
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.heads = heads
        self.dropout = dropout
        self.causal = causal
        layers, policy = keras.layers, self.dtype_policy
        self.embedding = (
            layers.Dense(width, name="embedding", dtype=policy)
            if vocabulary is None
            else layers.Embedding(vocabulary, width, name="embedding", dtype=policy)
        )
        self.initial_positions = keras.initializers.RandomNormal(0, 0.02)
        self.blocks = [
            EncoderBlock(
                width,
                heads,
                dropout,
                each_position if causal is None else causal,
                name=f"block_{number}",
                dtype=policy,
            )
            for number in range(1, depth + 1)
        ]
        self.norm = layers.LayerNormalization(name="norm", dtype=policy)
        # Logits stay in the variables' precision: half-precision ones would overflow in the loss.
        self.logits = layers.Dense(num_classes, name="logits", dtype=policy.variable_dtype)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of `input_shape`, batch axis included."""
        allowed = (2,) if self.vocabulary is not None else (3, 4)
        if len(input_shape) not in allowed:
            raise UserError(
                "model=transformer: it takes pictures (height, width, channels), sequences "
                "(length, features) or tokens (length,), and a row of the data has shape "
                f"{tuple(input_shape[1:])}; use model=mlp"
            )
        length, features = _positions(input_shape, self.patch_size)
        shape = (input_shape[0], length, self.width)
        self.embedding.build((input_shape[0], length, features)[: 2 + (self.vocabulary is None)])
        self.positions = self.add_weight(
            name="positions", shape=shape[1:], initializer=self.initial_positions
        )
        for layer in (*self.blocks, self.norm, self.logits):
            layer.build(shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Logits (batch, num_classes), or (batch, positions, num_classes)."""
        x = _patches(inputs, self.patch_size) if len(inputs.shape) == 4 else inputs
        x = self.embedding(x) + ops.cast(self.positions, self.compute_dtype)
        for block in self.blocks:
            x = block(x, training=training)
        x = self.norm(x)
        return self.logits(x if self.each_position else ops.mean(x, axis=1))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "vocabulary": self.vocabulary,
            "each_position": self.each_position,
            "patch_size": self.patch_size,
            "width": self.width,
            "depth": self.depth,
            "heads": self.heads,
            "dropout": self.dropout,
            "causal": self.causal,
        }


def _positions(shape: tuple[Any, ...], size: int) -> tuple[int, int]:
    """How many positions inputs of this shape have, and how many numbers each of them is."""
    if len(shape) == 4:
        return -(-shape[1] // size) * -(-shape[2] // size), size * size * shape[3]
    return shape[1], shape[2] if len(shape) == 3 else 1


def _patches(pictures: Any, size: int) -> Any:
    """Pictures (batch, height, width, channels) as (batch, patches, size * size * channels)."""
    _, height, width, channels = pictures.shape
    down, right = -(-height // size), -(-width // size)
    padding = [[0, 0], [0, down * size - height], [0, right * size - width], [0, 0]]
    x = ops.pad(pictures, padding)
    x = ops.reshape(x, (-1, down, size, right, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, down * right, size * size * channels))

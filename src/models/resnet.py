"""A residual network for small pictures, as He et al. 2016 built them for CIFAR-10."""

from typing import Annotated, Any

import keras
from pydantic import AfterValidator, Field

from src.models.pictures import PictureModel, build_in_row, call_in_row


def _of_six(depth: int) -> int:
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"allowed are 8, 14, 20, 32, 44, 56 and other 6 n + 2, not {depth}")
    return depth


class ResidualBlock(keras.layers.Layer):
    """Two convolutions whose result is added to their input.

        y = relu(normalisation_1(convolution_1(x)))
        y = normalisation_2(convolution_2(y)) + shortcut(x)
        return relu(y)

    The shortcut is the identity, or where the shape changes a convolution of 1 x 1 with
    normalisation (option B of He et al. 2016).

    Args:
        filters: of both convolutions.
        stride: of the first one.
        project: whether the shortcut changes the shape.
        momentum: of the normalisations' running figures.
    """

    def __init__(
        self, filters: int, stride: int, project: bool, momentum: float, name: str, dtype: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.branch = [
            *normalised_convolution(filters, 3, stride, momentum, "1", policy),
            keras.layers.Activation("relu", name="activation", dtype=policy),
            *normalised_convolution(filters, 3, 1, momentum, "2", policy),
        ]
        self.shortcut = (
            normalised_convolution(filters, 1, stride, momentum, "shortcut", policy)
            if project
            else []
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs (batch, height, width, channels)."""
        build_in_row(self.branch, input_shape)
        build_in_row(self.shortcut, input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, height / stride, width / stride, filters), rounded up."""
        for layer in self.branch:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Feature maps (batch, height, width, channels) to those of the block."""
        y = call_in_row(self.branch, inputs, training)
        return keras.ops.relu(y + call_in_row(self.shortcut, inputs, training))


@keras.saving.register_keras_serializable(package="harness")
class ResNet(PictureModel):
    """A convolution, three stages of residual blocks, the mean over the picture, a dense layer.

        x = relu(normalisation(convolution(width)(inputs)))    # (batch, height, width, channels)
        for stage in 0, 1, 2:                                  # (depth - 2) / 6 blocks each
            x = blocks of width * 2^stage filters; the first block of 1 and 2 halves the picture
        logits = dense(num_classes)(mean over the picture)     # (batch, num_classes)

    Pictures without a channel axis (batch, height, width) get one.

    Args:
        num_classes: width of the output, offered by the data.
        depth: layers with weights, shortcuts apart: 6 n + 2.
        width: filters of the first stage; 16 in the paper.
        stem_stride: of the first convolution; 2 takes a quarter of the arithmetic.
        normalisation_momentum: share of the running mean and variance kept at each update.

    Raises:
        UserError: in `build`, when the inputs are no pictures.
    """

    choice = "resnet"

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        depth: Annotated[int, AfterValidator(_of_six)],
        width: Annotated[int, Field(gt=0)],
        stem_stride: Annotated[int, Field(gt=0)],
        normalisation_momentum: Annotated[float, Field(ge=0, lt=1)],
        name: str = "resnet",
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.num_classes = num_classes
        self.depth = depth
        self.width = width
        self.stem_stride = stem_stride
        self.normalisation_momentum = momentum = normalisation_momentum
        policy = self.dtype_policy
        self.blocks = [
            *normalised_convolution(width, 3, stem_stride, momentum, "stem", policy),
            keras.layers.Activation("relu", name="activation", dtype=policy),
        ]
        for stage in range(3):
            for number in range((depth - 2) // 6):
                changes = stage > 0 and number == 0
                self.blocks.append(
                    ResidualBlock(
                        width * 2**stage,
                        2 if changes else 1,
                        changes,
                        momentum,
                        name=f"stage_{stage + 1}_block_{number + 1}",
                        dtype=policy,
                    )
                )
        self.blocks.append(keras.layers.GlobalAveragePooling2D(name="mean", dtype=policy))
        # Logits stay in the variables' precision: half-precision ones would overflow in the loss.
        self.logits = keras.layers.Dense(num_classes, name="logits", dtype=policy.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "depth": self.depth,
            "width": self.width,
            "stem_stride": self.stem_stride,
            "normalisation_momentum": self.normalisation_momentum,
        }


def normalised_convolution(
    filters: int, kernel_size: int, stride: int, momentum: float, name: str, policy: Any
) -> list[keras.layers.Layer]:
    """A convolution without bias, which the batch normalisation after it would subtract again."""
    return [
        keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"convolution_{name}",
            dtype=policy,
        ),
        keras.layers.BatchNormalization(
            momentum=momentum, name=f"normalisation_{name}", dtype=policy
        ),
    ]

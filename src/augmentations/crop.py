"""Shifted images: a border of zeros around them, and a window of their size cut out of it.

x <- pad(x, padding)[top : top + height, left : left + width]    top, left from 0 to 2 * padding
"""

from typing import Annotated

import tensorflow as tf
from pydantic import Field

from src.augmentations.augmentation import Augmentation, check_images, place


class Crop(Augmentation):
    """Shifts each image by up to `padding` pixels each way (He et al. 2016, section 4.2).

    Args:
        input_shape: of a row.
        padding: pixels of the border.

    Raises:
        UserError: rows are no images.
    """

    numbers = 2

    def __init__(self, input_shape: tuple[int, ...], padding: Annotated[int, Field(ge=1)]) -> None:
        check_images(input_shape, "crop")
        self.padding = padding

    def __call__(self, x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Shift the images `x` down and right by places made of their two numbers."""
        border = [self.padding, self.padding]
        padded = tf.pad(x, [[0, 0], border, border, [0, 0]])
        first = place(numbers, 2 * self.padding + 1)  # (batch, 2): top and left
        for axis in (1, 2):
            lines = first[:, axis - 1, None] + tf.range(x.shape[axis])  # (batch, size)
            padded = tf.gather(padded, lines, axis=axis, batch_dims=1)
        return padded

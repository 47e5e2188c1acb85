"""Images with a hole: a square of zeros.

DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017:

    x[top : top + size, left : left + size] <- 0    around a centre anywhere in the image
"""

from typing import Annotated

import tensorflow as tf
from pydantic import Field

from src.augmentations.augmentation import Augmentation, check_images, place
from src.errors import UserError


class Cutout(Augmentation):
    """Sets a square of each image to 0, less of it where the square reaches over the edge.

    0 is the mean with `data.normalisation=standard`, which the paper uses, and black with `range`.

    Args:
        input_shape: of a row.
        size: the square's side in pixels.

    Raises:
        UserError: rows are no images, or the square covers them whole.
    """

    numbers = 2

    def __init__(self, input_shape: tuple[int, ...], size: Annotated[int, Field(ge=1)]) -> None:
        check_images(input_shape, "cutout")
        largest = 2 * max(input_shape[:2]) - 2
        if size > largest:  # from a corner it reaches the one across
            raise UserError(
                f"augmentation: cutout's size={size} covers these images of {input_shape[0]} x "
                f"{input_shape[1]} pixels whole; give {largest} or less"
            )
        self.size = size

    def __call__(self, x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Cut a square out of the images `x`, its centre's row and column by their two numbers."""
        rows, columns = (
            self._inside(place(numbers[:, axis], x.shape[1 + axis]), x.shape[1 + axis])
            for axis in (0, 1)
        )
        hole = rows[:, :, None, None] & columns[:, None, :, None]
        return tf.where(hole, tf.zeros_like(x), x)

    def _inside(self, centre: tf.Tensor, count: int) -> tf.Tensor:
        """Which of `count` lines the square covers, `(batch, count)`."""
        distance = tf.range(count) - (centre[:, None] - self.size // 2)
        return (distance >= 0) & (distance < self.size)

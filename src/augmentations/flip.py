"""Mirrored images: left and right exchanged.

x <- x[:, ::-1]    of an image (height, width, channels), with the given probability
"""

from typing import Annotated

import tensorflow as tf
from pydantic import Field

from src.augmentations.augmentation import Augmentation, check_images


class Flip(Augmentation):
    """Mirrors each image by chance (Krizhevsky, Sutskever & Hinton 2012, section 4.1).

    Args:
        input_shape: of a row.
        probability: of being mirrored.

    Raises:
        UserError: rows are no images.
    """

    numbers = 1

    def __init__(
        self, input_shape: tuple[int, ...], probability: Annotated[float, Field(ge=0, le=1)]
    ) -> None:
        check_images(input_shape, "flip")
        self.probability = probability

    def __call__(self, x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Mirror the images `x` whose number is below the probability."""
        chosen = numbers[:, 0] < self.probability
        return tf.where(chosen[:, None, None, None], tf.reverse(x, axis=[2]), x)

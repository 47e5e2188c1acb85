"""What every kind of augmentation has in common.

An augmentation draws nothing itself. It is given, for each row, as many numbers as it asks for,
uniform from 0 to below 1: a pure function of (seed, epoch, row), see `row_numbers`. So what becomes
of a row depends neither on the batch it is in, nor on where a run was stopped, nor on how the
program is compiled; and the compiled program has no random operations.
"""

import numpy as np
import tensorflow as tf

from src.errors import UserError


class Augmentation:
    """Changes training rows at random; rows that are evaluated stay as they are.

    Attributes:
        numbers: how many random numbers it needs for each row.
    """

    numbers: int

    def __call__(self, x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Change rows `x` (batch, *input_shape) by `numbers` (batch, self.numbers) float32."""
        raise NotImplementedError


def check_images(input_shape: tuple[int, ...], name: str) -> None:
    """See that the rows that an augmentation of this name changes are images.

    Raises:
        UserError: their shape is not (height, width, channels).
    """
    if len(input_shape) != 3:
        raise UserError(
            f"augmentation: {name} changes images (height, width, channels), and the rows of this "
            f"data have shape {input_shape}; use augmentation=none"
        )


def place(number: tf.Tensor, count: int) -> tf.Tensor:
    """Whole numbers from 0 to below `count`, all alike, from uniform ones; int32."""
    # The product with the greatest number below 1 may be rounded up to `count`.
    return tf.minimum(tf.cast(number * count, tf.int32), count - 1)


def row_numbers(seed: int, epoch: int, rows: int, count: int) -> np.ndarray:
    """The random numbers of all rows in an epoch, `(rows, count)` float32 from 0 to below 1.

    A pure function of its arguments. Another part of the generator's counter than the order of the
    rows is drawn from.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 1]))
    return generator.random((rows, count), np.float32)

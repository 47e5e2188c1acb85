"""Rows are trained on as they are."""

import tensorflow as tf

from src.augmentations.augmentation import Augmentation


class Unchanged(Augmentation):
    """Leaves rows of any shape as they are, at no cost."""

    numbers = 0

    def __call__(self, x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """`x` itself."""
        return x

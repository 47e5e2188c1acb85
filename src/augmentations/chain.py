"""Several augmentations, one after the other."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from src.augmentations.augmentation import Augmentation
from src.errors import UserError
from src.targets import call, locate


class Chain(Augmentation):
    """Applies augmentations in order, each with random numbers of its own.

    Args:
        input_shape: of a row.
        parts: by any name, each a `_target_` with its arguments.

    Raises:
        UserError: a part is no augmentation, or can't be made.
    """

    def __init__(self, input_shape: tuple[int, ...], parts: Mapping[str, dict[str, Any]]) -> None:
        self.parts = [_part(name, part, input_shape) for name, part in parts.items()]
        self.numbers = sum(part.numbers for part in self.parts)

    def __call__(self, x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Change rows; see `Augmentation`."""
        first = 0
        for part in self.parts:
            x = part(x, numbers[:, first : first + part.numbers])
            first += part.numbers
        return x


def _part(name: str, config: Mapping[str, Any], input_shape: tuple[int, ...]) -> Augmentation:
    key = f"augmentation.parts.{name}"
    arguments = dict(config)
    target = arguments.pop("_target_", None)
    if not isinstance(target, str):
        raise UserError(f"{key}: it lacks a _target_, such as src.augmentations.flip.Flip")
    function = locate(target, f"{key}._target_")
    made = call(function, arguments, key=key, offered={"input_shape": input_shape})
    if not isinstance(made, Augmentation):
        raise UserError(
            f"{key}._target_={target}: derive it from src.augmentations.augmentation.Augmentation"
        )
    return made

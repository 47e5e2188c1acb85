"""The norms of a model's gradients or updates, layer by layer."""

from collections.abc import Sequence

import keras
import tensorflow as tf


def layers(variables: Sequence[keras.Variable]) -> dict[str, list[int]]:
    """The layers that own variables, by name: the places of their variables among these.

    A layer's name is its variables' path without their own name, such as `mlp/hidden_0` of
    `mlp/hidden_0/kernel`. Of several layers of one name the second ends in `_1`, and so on.
    """
    found: dict[str, list[int]] = {}
    seen: dict[str, int] = {}
    for place, variable in enumerate(variables):
        layer = variable.path.rpartition("/")[0] or variable.path
        repeated = seen.get(variable.path, 0)
        seen[variable.path] = repeated + 1
        found.setdefault(f"{layer}_{repeated}" if repeated else layer, []).append(place)
    return found


def by_layer(
    variables: Sequence[keras.Variable], tensors: Sequence[tf.Tensor | None]
) -> dict[str, tf.Tensor]:
    """The Euclidean norm of each layer's tensors together, a float32 scalar.

    Args:
        variables: of the model.
        tensors: one for each variable; None counts as zeros.
    """
    norms = {}
    for name, places in layers(variables).items():
        given = [tensors[place] for place in places]
        squares = [
            tf.reduce_sum(tf.square(tf.cast(tf.convert_to_tensor(tensor), tf.float32)))
            for tensor in given
            if tensor is not None
        ]
        norms[name] = tf.sqrt(tf.add_n(squares)) if squares else tf.zeros([])
    return norms

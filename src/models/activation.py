"""The activation functions that `model.activation` may name."""

import keras

from src.errors import UserError


def check_activation(name: str) -> str:
    """Return `name` if Keras has such an activation.

    Raises:
        UserError: naming the key and some that exist.
    """
    try:
        keras.activations.get(name)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"model.activation={name}: Keras has no such activation; it has relu, gelu, silu, "
            "tanh, elu, leaky_relu, sigmoid, linear and others"
        ) from error
    return name

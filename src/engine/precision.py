"""Mixed precision: layers compute in 16 bits, variables and losses stay float32."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def computed_in(policy: str) -> Iterator[None]:
    """Layers that are made within it have Keras' dtype policy of this name.

    Losses and metrics have a precision of their own, `keras.config.floatx()`. Another default than
    float32, as the gradient check sets it, stays.

    Args:
        policy: `float32`, `mixed_bfloat16` or `mixed_float16` (Micikevicius et al. 2018).
    """
    if policy == "float32":
        yield
        return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)

"""Vectorised forms of operations that `tf.vectorized_map` would run member by member."""

from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor


def register() -> None:
    """Teach `tf.vectorized_map` the operations below; call it once, before tracing.

    Bitcast: Keras' argmax, and so its accuracy metrics, look at a number's sign bit through it.
    In TensorFlow 2.21 it has no vectorised form, and a loop over 64 members costs more than the
    rest of a small update.
    """
    if "Bitcast" not in pfor._pfor_converter_registry:
        pfor.RegisterPFor("Bitcast")(_bitcast)


def _bitcast(inputs: Any) -> Any:
    source, target = inputs.stacked_input(0).dtype, tf.as_dtype(inputs.get_attr("type"))
    if source.size != target.size:
        raise NotImplementedError(f"Bitcast from {source.name} to {target.name} changes the shape")
    return pfor.wrap(tf.bitcast(inputs.stacked_input(0), target), True)

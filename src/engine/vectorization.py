"""Vectorised forms of operations that `tf.vectorized_map` would run member by member."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from src.engine import philox

# What TensorFlow calls each of these is `Using a while_loop for converting OP ...` and the like.
TURNS = re.compile(r"Using a while_loop for converting (\w+)|(\w+) uses a while_loop")
# `alg` of the stateless random operations: Philox, or whatever the device prefers, which is Philox.
PHILOX, AUTOMATIC = 1, 3
RANDOM = ("StatelessRandomGetKeyCounter", "StatelessRandomUniformV2")


@contextlib.contextmanager
def extended(*, random: bool) -> Iterator[set[str]]:
    """Trace calls of `tf.vectorized_map` in here: it knows more operations, and logs nothing.

    Args:
        random: vectorise uniform random numbers whose seeds differ between members. They are those
            of TensorFlow's own kernels, so not for a program whose solo runs draw XLA's; and they
            are quick when XLA compiles them, about four times slower than taking turns in a graph.

    Yields:
        A set that comes to hold the operations in which members take turns.
    """
    known = {"Bitcast": _bitcast}
    if random:
        known |= {
            "StatelessRandomGetKeyCounter": _key_counter,
            "StatelessRandomUniformV2": _uniform,
        }
    known = {name: form for name, form in known.items() if name not in _registry()}
    in_turns: set[str] = set()

    logger = tf.get_logger()
    level, shown = logger.level, logger.getEffectiveLevel()

    def silence(record: logging.LogRecord) -> bool:
        found = TURNS.search(record.getMessage())
        if found:
            in_turns.add(found[1] or found[2])
        # What can't be converted at all is raised too.
        return record.levelno >= shown and not found and "pfor" not in record.getMessage()

    _registry().update(known)
    logger.addFilter(silence)
    logger.setLevel(logging.DEBUG)  # some turns are taken with no more than a debug message
    try:
        yield in_turns
    finally:
        logger.setLevel(level)
        logger.removeFilter(silence)
        for name in known:
            del _registry()[name]


def _registry() -> dict[str, Callable[[Any], Any]]:
    return pfor._pfor_converter_registry


def _bitcast(inputs: Any) -> Any:
    """Keras' argmax, and so its accuracy metrics, look at a number's sign bit by a Bitcast.

    In TensorFlow 2.21 it has no vectorised form, and a loop over 64 members costs more than the
    rest of a small update.
    """
    source, target = inputs.stacked_input(0).dtype, tf.as_dtype(inputs.get_attr("type"))
    if source.size != target.size:
        return pfor._fallback_converter(inputs, "its values change their size", warn=True)
    return pfor.wrap(tf.bitcast(inputs.stacked_input(0), target), True)


def _key_counter(inputs: Any) -> Any:
    key, counter = philox.key_and_counter(inputs.stacked_input(0))
    return [pfor.wrap(key, True), pfor.wrap(counter, True)]


def _uniform(inputs: Any) -> Any:
    shape = tf.get_static_value(inputs.unstacked_input(0))
    algorithm = tf.get_static_value(inputs.unstacked_input(3))
    vectorised = (
        shape is not None
        and algorithm in (PHILOX, AUTOMATIC)
        and tf.as_dtype(inputs.get_attr("dtype")) == tf.float32
    )
    if not vectorised:
        return pfor._fallback_converter(inputs, "it has another type or algorithm", warn=True)
    key, counter = inputs.stacked_input(1), inputs.stacked_input(2)
    numbers = philox.uniform(key, counter, int(np.prod(shape)))
    return pfor.wrap(tf.reshape(numbers, [-1, *shape]), True)

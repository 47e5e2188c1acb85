"""The precision of a gradient check: float64, where the model, loss and step let Keras choose."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from src.errors import UserError

BOLD = re.compile(r"\x1b\[\d*m")  # Keras prints messages in bold
TYPE_NAMES = ("float32", "float64", "double")  # of which a complaint about types names one
MEND = "leave its dtype to Keras (keras.config.floatx())"
MEND_FLOAT64 = f"{MEND}, or check coarsely with check.dtype=float32 tolerance=0.1"


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Within it, Keras makes variables and computes in `dtype`."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.utils.clear_session()  # its dtype policy is remembered from the first layer on
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.utils.clear_session()


@contextmanager
def explained(dtype: str) -> Iterator[None]:
    """Within it, TensorFlow's complaint that two types differ becomes one that says what to do.

    Raises:
        UserError: in place of that complaint; other errors pass.
    """
    try:
        yield
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        lines = [line.strip() for line in BOLD.sub("", str(error)).splitlines()]
        complaint = next((line for line in lines if any(map(line.count, TYPE_NAMES))), None)
        if complaint is None or dtype != "float64":
            raise
        raise UserError(f"model, loss or step: {complaint}; {MEND_FLOAT64}") from error


def check(model: keras.Model, dtype: str) -> None:
    """Make sure that all floating-point variables of the model are of `dtype`.

    Raises:
        UserError: naming the first that is not.
    """
    for variable in model.variables:
        kind = keras.backend.standardize_dtype(variable.dtype)
        if "float" in kind and kind != dtype:
            mend = MEND_FLOAT64 if dtype == "float64" else MEND
            raise UserError(f"model: its variable {variable.path} is {kind}, not {dtype}; {mend}")


def casts(traced: tf.types.experimental.ConcreteFunction) -> list[str]:
    """The operations in a traced function that make a shorter number of a float64."""
    definition = traced.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    shorter = {kind.as_datatype_enum for kind in (tf.float32, tf.float16, tf.bfloat16)}
    return [
        node.name
        for node in nodes
        if node.op == "Cast"
        and node.attr["SrcT"].type == tf.float64.as_datatype_enum
        and node.attr["DstT"].type in shorter
    ]

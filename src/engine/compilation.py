"""Whether a traced program is compiled by XLA: a rule on its operations and the device.

Never a stopwatch: a choice by timing would make two equal commands differ, because XLA and graph
mode draw other random numbers and round otherwise.

Measured on 2 CPU cores, in updates per second, graph mode against XLA inside a loop: dense layers
2,290 against 5,560; convolutions 700 against 37; dropout 1,450 against 324.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf
from tensorflow.python.autograph.core import ag_ctx

# Operations that make XLA on a CPU slower than graph mode: no vendor kernels for convolutions and
# windowed reductions, a slow bit generator for random numbers.
SLOW_ON_CPU = (
    "Conv",
    "DepthwiseConv",
    "FusedBatchNorm",
    "MaxPool",
    "AvgPool",
    "StatelessRandom",
    "Random",
)


@dataclass(frozen=True)
class Choice:
    """How a program runs, and the reason in words."""

    jit: bool
    reason: str


def choose(
    traced: tf.types.experimental.ConcreteFunction, wanted: Literal["auto"] | bool
) -> Choice:
    """The choice for a traced program when the configuration says `jit=wanted`."""
    if wanted != "auto":
        return Choice(bool(wanted), f"jit={str(wanted).lower()}")
    if tf.config.list_logical_devices("GPU"):
        return Choice(True, "on a GPU")
    slow = sorted(name for name in operations(traced) if name.startswith(SLOW_ON_CPU))
    if slow:
        return Choice(False, f"XLA is slow on this CPU for {slow[0]}")
    return Choice(True, "no operation that XLA is slow for on this CPU")


def operations(traced: tf.types.experimental.ConcreteFunction) -> set[str]:
    """The types of all operations in a traced function and in the functions it calls."""
    graph = traced.graph.as_graph_def()
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    return {node.op for node in nodes}


def tensor_bytes(traced: tf.types.experimental.ConcreteFunction) -> int:
    """The bytes of all tensors that a call makes, those of unknown shape left out."""
    outputs = [
        output for operation in traced.graph.get_operations() for output in operation.outputs
    ]
    return sum(
        (output.shape.num_elements() or 0) * output.dtype.size
        for output in outputs
        if output.dtype not in (tf.resource, tf.variant, tf.string)
    )


def converted(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with Python control flow on tensors made part of the graph it is traced into.

    Autograph takes a third of the time of tracing, so it is used where it is needed alone.
    """
    enabled = ag_ctx.ControlStatusCtx(ag_ctx.Status.ENABLED)
    return tf.__internal__.autograph.tf_convert(function, enabled)


def compile_loop(
    function: Callable[..., tf.Tensor],
    signature: list[tf.TensorSpec],
    jit: Literal["auto"] | bool,
    notice: Callable[[str], None],
) -> tuple[Callable[..., tf.Tensor], Choice]:
    """Trace `function` once and compile it as `choose` says.

    Args:
        function: a loop of as many updates as its third argument says.
        signature: of its arguments.
        jit: the configured choice.
        notice: told in one line when XLA can't compile what it was chosen for.
    """
    traced = tf.function(function, autograph=False).get_concrete_function(*signature)
    choice = choose(traced, jit)
    if not choice.jit:
        return traced, choice
    # The traced function is compiled as it is, so that the step is traced once.
    compiled = tf.function(
        lambda *arguments: traced(*arguments),
        input_signature=signature,
        jit_compile=True,
        autograph=False,
    )
    try:
        # All arguments zero, so no update is made: compiles, and leaves the state as it is.
        compiled(*(tf.zeros(argument.shape, argument.dtype) for argument in signature))
    except (
        tf.errors.InvalidArgumentError,
        tf.errors.UnimplementedError,
        tf.errors.InternalError,
    ) as error:
        reason = str(error).splitlines()[0][:160]
        notice(f"The step runs as a TensorFlow graph: XLA can't compile it ({reason}).")
        return traced, Choice(False, f"XLA can't compile this step: {reason}")
    return compiled, choice

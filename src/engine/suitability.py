"""Whether members of a sweep may train in one program, and had better, judged by its operations.

A rule, never a stopwatch: equal commands fuse equally.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from src.data.dataset import Split
from src.engine import compilation, state, vectorization
from src.engine.compilation import Choice
from src.engine.memory import free_memory
from src.errors import CannotFuse
from src.steps.step import Step

# Stacked filters have no vendor kernel on a CPU: measured 0.2 times the rate of one by one.
SLOWER_FUSED = ("Conv", "DepthwiseConv")
# Matrix products of so many operations in one member's update keep all cores of a CPU busy already.
# Measured on 2 cores, rate of 2 to 16 fused members over one by one: 0.5e6 operations 6, 80e6 1.1,
# 155e6 0.9, 410e6 0.6 to 0.85, 840e6 0.5 to 0.85.
LARGE_PRODUCTS = 250e6
# Random operations with a hidden state: vectorised, they draw other numbers than one by one.
STATEFUL_RANDOM = (
    "RandomUniform",
    "RandomUniformInt",
    "RandomStandardNormal",
    "TruncatedNormal",
    "RandomShuffle",
    "RandomGamma",
    "RandomPoissonV2",
    "Multinomial",
    "ParameterizedTruncatedNormal",
)
MEMORY_SHARE = 0.5  # of the free memory that a fused group may take


@dataclass(frozen=True)
class Plan:
    """How a fused program is compiled.

    Attributes:
        choice: whether by XLA.
        vectorise_random: see `vectorization.extended`.
    """

    choice: Choice
    vectorise_random: bool


def plan(
    step: Step,
    train: Split,
    evaluated: Sequence[Split],
    batch_size: int,
    evaluation_batch_size: int,
    members: int,
    *,
    jit: Literal["auto"] | bool,
    force: bool,
) -> Plan:
    """How members of this step train together.

    Args:
        step: what each of them does.
        train: the rows to train on.
        evaluated: the splits to evaluate.
        batch_size: rows of an update.
        evaluation_batch_size: rows evaluated at once.
        members: how many they are.
        jit: the configured choice.
        force: also where they train faster one by one.

    Raises:
        CannotFuse: they can't, are slower together on this device, or too many for the free memory.
    """
    batch = min(batch_size, train.rows)
    traced = tf.function(step.train).get_concrete_function(*_batch_of(train, batch))
    operations = compilation.operations(traced)
    stateful = sorted(operations.intersection(STATEFUL_RANDOM))
    if stateful:
        raise CannotFuse(
            f"{stateful[0]} would draw other random numbers; keras.random with a "
            "keras.random.SeedGenerator named in the step's state can be fused"
        )
    if not force:
        _refuse_what_is_slower(traced, operations)
    rows = max([split.rows for split in evaluated], default=1)
    evaluation = tf.function(step.evaluate).get_concrete_function(
        *_batch_of(train, min(evaluation_batch_size, rows))
    )
    _refuse_what_is_too_large(step, [traced, evaluation], members)
    alone = compilation.choose(traced, jit)
    slow = {name for name in operations if name.startswith(compilation.SLOW_ON_CPU)}
    if jit == "auto" and slow and slow.issubset(vectorization.RANDOM):
        return Plan(Choice(True, "random numbers are vectorised"), vectorise_random=True)
    return Plan(alone, vectorise_random=False)


def _batch_of(split: Split, rows: int) -> list[tf.TensorSpec]:
    return [tf.TensorSpec([rows, *values.shape[1:]], values.dtype) for values in (split.x, split.y)]


def _refuse_what_is_slower(
    traced: tf.types.experimental.ConcreteFunction, operations: set[str]
) -> None:
    if tf.config.list_logical_devices("GPU"):
        return
    slow = sorted(name for name in operations if name.startswith(SLOWER_FUSED))
    if slow:
        reason = f"{slow[0]} is"
    elif (count := product_operations(traced)) > LARGE_PRODUCTS:
        reason = f"matrix products of {count / 1e6:,.0f} million operations an update are"
    else:
        return
    raise CannotFuse(
        f"{reason} slower fused than one by one on a CPU "
        "(hydra.launcher.force=true fuses all the same)"
    )


def product_operations(traced: tf.types.experimental.ConcreteFunction) -> int:
    """Multiplications and additions in the matrix products of a call, for shapes that are known."""
    count = 0
    for operation in traced.graph.get_operations():
        if operation.type == "Einsum":
            count += _einsum_operations(operation)
            continue
        if operation.type == "MatMul":
            transposed = operation.get_attr("transpose_a")
        elif operation.type.startswith("BatchMatMul"):
            transposed = operation.get_attr("adj_x")
        else:
            continue
        inner = operation.inputs[0].shape[-2 if transposed else -1]
        count += 2 * (inner or 0) * (operation.outputs[0].shape.num_elements() or 0)
    return count


def _einsum_operations(operation: tf.Operation) -> int:
    """Two for each combination of all indices, such as `b`, `i`, `j` and `k` of bij,bjk->bik."""
    terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
    sizes = {
        index: size
        for term, values in zip(terms, operation.inputs, strict=True)
        for index, size in zip(term, values.shape, strict=False)
    }
    return 2 * math.prod(size or 0 for size in sizes.values()) if len(terms) > 1 else 0


def _refuse_what_is_too_large(
    step: Step, traced: Sequence[tf.types.experimental.ConcreteFunction], members: int
) -> None:
    held = sum(
        variable.value.shape.num_elements() * variable.value.dtype.size
        for variable in state.variables(step).values()
    )
    # The stacked variables, their copy in the loop and its successor; every tensor of one update or
    # evaluation, as if none were freed before its end.
    needed = 3 * held + max(map(compilation.tensor_bytes, traced))
    fit = int(MEMORY_SHARE * free_memory() // max(needed, 1))
    if fit < members:
        raise CannotFuse(
            f"{members} members need {members * needed / 2**30:.1f} GiB, more than "
            f"{MEMORY_SHARE:.0%} of the free memory",
            members=fit,
        )

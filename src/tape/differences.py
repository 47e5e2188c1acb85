"""Central finite differences, and how far a gradient is from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUNDINGS = 20  # by how many units in its last place a computed loss may be off


@dataclass(frozen=True)
class Comparison:
    """A derivative by the tape and by finite differences, and how far they are apart.

    Attributes:
        error: the relative error, infinite where one of them is not a finite number.
    """

    tape: float
    difference: float
    error: float


def steps(dtype: np.dtype) -> tuple[float, ...]:
    """The steps to try, relative to the weight's size, the best for smooth losses first.

    eps^(1/3) balances the difference's truncation, of order step^2, with its rounding, of order
    eps / step. Smaller ones are for kinks (ReLU, max-pooling): the closer the two points, the
    rarer is a kink between them.
    """
    first = float(np.finfo(dtype).eps) ** (1 / 3)
    return (first, first / 10, first / 100) if dtype == np.float64 else (first, first / 10)


def compare(
    loss: Callable[[float], float], weight: float, tape: float, tolerance: float, dtype: np.dtype
) -> Comparison:
    """Compare the tape's derivative at a weight with central differences.

        difference = (loss(weight + step) - loss(weight - step)) / (2 step)

    The first step whose error is within `tolerance` decides, else the one with the least error: a
    kink spoils some steps, a wrong derivative disagrees with every one.

    Args:
        loss: as a function of this one weight.
        weight: where.
        tape: the derivative to judge.
        tolerance: of the relative error.
        dtype: in which the loss is computed.
    """
    best = Comparison(tape, math.nan, math.inf)
    for relative in steps(dtype):
        step = relative * max(abs(weight), 1.0)
        above, below = dtype.type(weight + step), dtype.type(weight - step)
        distance = float(above) - float(below)  # what rounding left of 2 * step
        higher, lower = loss(float(above)), loss(float(below))
        difference = (higher - lower) / distance
        rounding = ROUNDINGS * np.finfo(dtype).eps * max(abs(higher), abs(lower)) / distance
        error = relative_error(tape, difference, rounding, tolerance)
        if error < best.error or math.isnan(best.difference):
            best = Comparison(tape, difference, error)
        if error <= tolerance:
            break
    return best


def relative_error(tape: float, difference: float, rounding: float, tolerance: float) -> float:
    """How far two derivatives are apart, relative to the greater one.

    What is apart by no more than `rounding` tells nothing, however small the derivatives are: it
    is then taken relative to what would make it the tolerance, at most.
    """
    if not (math.isfinite(tape) and math.isfinite(difference)):
        return math.inf
    apart, greater = abs(tape - difference), max(abs(tape), abs(difference))
    if apart <= rounding:
        greater = max(greater, rounding / tolerance)
    return apart / greater if apart else 0.0

"""The gradient check: a step's gradients against finite differences, variable by variable."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from src.errors import UserError
from src.tape.differences import Comparison, compare
from src.tape.subject import Subject


@dataclass(frozen=True)
class Row:
    """What was found for one variable.

    Attributes:
        name: of the variable.
        shape: of the variable.
        entries: how many of its weights were varied.
        trained: whether the step handed over a gradient for it at all.
        connected: whether that gradient was not None.
        worst: the comparison with the greatest error; None where there is nothing to compare.
        index: the place of the worst weight in the variable.
        greatest: the greatest absolute gradient over the whole variable.
    """

    name: str
    shape: tuple[int, ...]
    entries: int
    trained: bool
    connected: bool
    worst: Comparison | None
    index: tuple[int, ...]
    greatest: float

    @property
    def error(self) -> float:
        """The greatest relative error; 0 where there is nothing to compare."""
        return self.worst.error if self.worst else 0.0


def run(subject: Subject, entries: int, seed: int, tolerance: float) -> list[Row]:
    """Check every trainable variable at up to `entries` of its weights; the weights end unchanged.

    Raises:
        UserError: the loss is not finite, equal weights give unequal losses, or nothing is trained.
    """
    gradients = subject.gradients()
    loss = subject.loss()
    if not math.isfinite(loss):
        raise UserError(
            f"loss: it is {loss} on this batch, so there is nothing to differentiate; where the "
            "noise on the weights is to blame, check.spread=0 leaves it out"
        )
    if subject.loss() != loss:
        raise UserError(
            "step: two losses at equal weights differ, so it draws random numbers that are no "
            "part of its state; draw them with a keras.random.SeedGenerator of the model or step"
        )
    if not gradients:
        raise UserError("model: it has no trainable variable that the step trains")
    generator = np.random.default_rng(seed)
    return [
        _check(subject, name, variable, gradients, entries, generator, tolerance)
        for name, variable in subject.variables.items()
    ]


def _check(
    subject: Subject,
    name: str,
    variable: keras.Variable,
    gradients: dict[str, np.ndarray | None],
    entries: int,
    generator: np.random.Generator,
    tolerance: float,
) -> Row:
    shape = tuple(variable.shape)
    if name not in gradients:
        return Row(name, shape, 0, False, False, None, (), 0.0)
    given = gradients[name]
    gradient = np.zeros(shape) if given is None else given
    values = variable.numpy()
    chosen = choose(gradient.ravel(), entries, generator)
    worst: tuple[Comparison, int] | None = None
    for entry in chosen:

        def loss_at(weight: float, entry: int = entry) -> float:
            moved = values.copy()
            moved.flat[entry] = weight
            variable.assign(moved)
            return subject.loss()

        compared = compare(
            loss_at, float(values.flat[entry]), float(gradient.flat[entry]), tolerance, values.dtype
        )
        if worst is None or compared.error > worst[0].error:
            worst = compared, entry
    variable.assign(values)
    index = np.unravel_index(worst[1], shape) if worst else ()
    return Row(
        name,
        shape,
        len(chosen),
        True,
        given is not None,
        worst[0] if worst else None,
        tuple(int(place) for place in index),
        float(np.abs(gradient).max(initial=0.0)),
    )


def choose(gradient: np.ndarray, entries: int, generator: np.random.Generator) -> list[int]:
    """The positions to check in a flat gradient: half the greatest ones, the others at random.

    Random ones alone would miss the few rows of an embedding that a batch uses.
    """
    if entries >= gradient.size:
        return list(range(gradient.size))
    order = np.argsort(-np.abs(gradient), kind="stable")
    greatest, others = order[: entries // 2], order[entries // 2 :]
    drawn = generator.choice(others, entries - len(greatest), replace=False)
    return [int(position) for position in (*greatest, *drawn)]

"""Scaling of inputs, fitted on the training rows alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from src.data.chunks import row_chunks
from src.data.row_reader import RowReader
from src.errors import UserError

Normalisation = Literal["none", "range", "standard"]


@dataclass(frozen=True, eq=False)
class Scaling:
    """x becomes (x - offset) / scale; both float64, of a shape that broadcasts over a row."""

    offset: np.ndarray
    scale: np.ndarray


IDENTITY = Scaling(np.zeros(()), np.ones(()))  # x as it is


def fit(x: np.ndarray, rows: np.ndarray, normalisation: Normalisation) -> Scaling:
    """Fit a scaling to the given rows of x.

    none:     x as it is.
    range:    (x - minimum) / (maximum - minimum), so that training values lie in 0..1.
    standard: (x - mean) / standard deviation.

    The figures are taken for each feature of tables (rows, features), for each channel of images
    (rows, height, width, channels), and once for everything in arrays of three axes, where the last
    may be a picture's width. What is constant becomes 0.

    Raises:
        UserError: when the figures exceed float64.
    """
    if normalisation == "none":
        return IDENTITY
    axes = _reduced_axes(x.ndim)

    def pieces() -> Iterator[np.ndarray]:
        return (x[rows[piece]] for piece in row_chunks(x, len(rows)))

    low = np.min([piece.min(axis=axes) for piece in pieces()], axis=0).astype(np.float64)
    high = np.max([piece.max(axis=axes) for piece in pieces()], axis=0).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if normalisation == "range":
            offset, scale = low, high - low
        else:
            values = len(rows) * (x[0].size // low.size)
            offset = sum(p.sum(axis=axes, dtype=np.float64) for p in pieces()) / values
            squares = sum(np.square(p - offset).sum(axis=axes) for p in pieces())
            scale = np.sqrt(squares / values)
    constant = low == high  # asked exactly: the deviation of equal values is rounding, not 0
    offset, scale = np.where(constant, low, offset), np.where(constant, 1.0, scale)
    if not (np.isfinite(offset).all() and np.isfinite(scale).all()):
        raise UserError(
            f"data.normalisation={normalisation}: x holds values up to "
            f"{np.abs([low, high]).max():g}, too large to compute with; "
            "scale them down, or use data.normalisation=none"
        )
    return Scaling(offset, scale)


def apply(x: np.ndarray | RowReader, rows: np.ndarray, scaling: Scaling) -> np.ndarray:
    """The given rows of x, scaled: float32 (len(rows), *x.shape[1:]).

    Raises:
        UserError: when a value exceeds float32.
    """
    result = np.empty((len(rows), *x.shape[1:]), np.float32)
    for piece in row_chunks(x, len(rows)):
        values = x[rows[piece]].astype(np.float64)
        values -= scaling.offset
        values /= scaling.scale
        with np.errstate(over="ignore"):
            result[piece] = values
        if x.dtype.kind == "f" and not np.isfinite(result[piece]).all():
            raise UserError(
                f"data: x holds values that float32 can't ({np.abs(values).max():g} after "
                "normalisation; the limit is 3.4e38); scale them down"
            )
    return result


def _reduced_axes(axes: int) -> tuple[int, ...]:
    if axes == 2:
        return (0,)
    return tuple(range(axes)) if axes == 3 else tuple(range(axes - 1))

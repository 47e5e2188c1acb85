"""What the labels of a user's arrays mean: classes, shares of classes, or real values."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from src.data.check import is_one_hot
from src.data.dataset import LabelKind
from src.errors import UserError

Task = Literal["auto", "classification", "regression"]
SUM_TOLERANCE = 1e-3  # of a row of probabilities, for those stored as float16


def label_kind(
    labels: Mapping[str, np.ndarray], task: Task, where: str
) -> tuple[LabelKind, dict[str, np.ndarray]]:
    """Decide what the labels are, over all splits at once.

    | y                                     | auto      | classification | regression |
    |---------------------------------------|-----------|----------------|------------|
    | integers or booleans (rows,)          | integer   | integer        | real       |
    | whole-numbered floats (rows,)         | refused   | integer        | real       |
    | other floats (rows,)                  | real      | refused        | real       |
    | (rows, k), each a single 1 among 0    | one_hot   | one_hot        | real       |
    | (rows, k), none negative, sums of 1   | soft      | soft           | real       |
    | other floats (rows, k)                | real      | soft           | real       |
    | other integers (rows, k)              | refused   | soft           | real       |

    A column (rows, 1) counts as (rows,).

    Returns:
        The kind, and the labels in the type that goes with it.

    Raises:
        UserError: when y has another shape or type, or is refused in the table above.
    """
    flat = {}
    for split, y in labels.items():
        if y.ndim not in (1, 2) or y.size == 0 or y.dtype.kind not in "biuf":
            raise UserError(
                f"{where}: y of {split} has shape {y.shape} and type {y.dtype}; allowed are "
                "numbers of shape (rows,) or (rows, classes), with at least one row"
            )
        values = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        flat[split] = values.astype(np.int64) if y.dtype.kind == "b" else values
    if len({y.ndim for y in flat.values()}) > 1:
        shapes = ", ".join(f"{y.shape} in {split}" for split, y in labels.items())
        raise UserError(f"{where}: rows of y must have one shape in all splits, not {shapes}")
    if task == "regression":
        return "real", flat
    ys = list(flat.values())
    if ys[0].ndim == 1:
        return _one_column(flat, task, where)
    if all(is_one_hot(y) for y in ys):
        return "one_hot", flat
    if task == "classification" or all(_sums_to_one(y) for y in ys):
        return "soft", flat
    if all(y.dtype.kind == "f" for y in ys):
        return "real", flat
    raise UserError(
        f"{where}: y holds integers in several columns that are not one-hot; say what they are: "
        "data.task=regression, or data.task=classification for shares of classes"
    )


def _one_column(
    labels: dict[str, np.ndarray], task: Task, where: str
) -> tuple[LabelKind, dict[str, np.ndarray]]:
    if all(y.dtype.kind in "iu" for y in labels.values()):
        return "integer", labels
    whole = all((y == np.floor(y)).all() for y in labels.values())
    if task == "classification":
        if not whole:
            raise UserError(
                f"{where}: y holds floats that are not whole numbers; with "
                "data.task=classification labels are integers from 0"
            )
        return "integer", {split: _as_integers(y, where) for split, y in labels.items()}
    if whole:
        raise UserError(
            f"{where}: y holds whole numbers stored as floats; say whether they are classes or "
            "values: data.task=classification or data.task=regression"
        )
    return "real", labels


def _as_integers(y: np.ndarray, where: str) -> np.ndarray:
    if y.dtype.kind == "f" and not (np.abs(y) < 2**31).all():
        raise UserError(f"{where}: y holds {np.abs(y).max():g}; labels are integers from 0")
    return y.astype(np.int64)


def _sums_to_one(y: np.ndarray) -> bool:
    return bool((y >= 0).all() and (np.abs(y.sum(axis=1) - 1) <= SUM_TOLERANCE).all())

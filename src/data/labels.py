"""The form in which labels reach the loss: class numbers, one-hot rows, or as they come."""

from typing import Literal

import numpy as np

from src.data.dataset import LabelKind
from src.errors import UserError

Wanted = Literal["integer", "one_hot", "as_is"]


def resulting_kind(kind: LabelKind, wanted: Wanted, where: str) -> LabelKind:
    """The kind of labels that `data.labels=wanted` makes of `kind`.

    Raises:
        UserError: when there is no such conversion.
    """
    if wanted in ("as_is", kind):
        return kind
    if kind == "soft":
        raise UserError(
            f"data.labels={wanted}: the labels of {where} are soft (shares of several classes), "
            f"and turning them into {wanted} ones would lose that; use data.labels=as_is"
        )
    if kind == "real":
        raise UserError(
            f"data.labels={wanted}: the labels of {where} are real values, not classes; "
            "use data.labels=as_is"
        )
    return wanted  # type: ignore[return-value]  # integer or one_hot, since as_is is dealt with


def convert(y: np.ndarray, kind: LabelKind, result: LabelKind, num_classes: int) -> np.ndarray:
    """Labels of `kind` as labels of the kind `result`.

    Returns:
        int32 (rows,) for integer labels, else float32 (rows, num_classes).

    Raises:
        UserError: a value exceeds float32.
    """
    if kind == "integer" and result == "one_hot":
        one_hot = np.zeros((len(y), num_classes), np.float32)
        one_hot[np.arange(len(y)), y] = 1
        return one_hot
    if kind == "one_hot" and result == "integer":
        return y.argmax(axis=1).astype(np.int32)
    if kind == "integer":
        return y.astype(np.int32)
    with np.errstate(over="ignore"):
        values = y.reshape(len(y), -1).astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(
            f"data: y holds values that float32 can't ({np.abs(y).max():g}; the limit is 3.4e38); "
            "scale them down"
        )
    return values

"""The user's own table: a CSV file with numeric and categorical columns and a label column."""

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from src.data import columns, table
from src.data.columns import Layout, Missing
from src.data.source import Source
from src.data.table import Table
from src.errors import UserError


def _one_sign(text: str) -> str:
    sign = text.replace("\\t", "\t")  # as a shell hands it over
    if len(sign) != 1:
        raise ValueError(f"allowed is a single sign, such as ',' ';' or '\\t', not {text!r}")
    return sign


def load(
    *,
    path: str | None,
    label: str | None,
    task: Literal["classification", "regression"],
    separator: Annotated[str, AfterValidator(_one_sign)],
    ignore: list[str],
    categorical: list[str],
    missing: Missing,
    missing_values: list[str],
    scored: bool = False,
) -> Source:
    """Read the table; columns that hold numbers alone are numeric, all others categorical.

    Args:
        path: of the file.
        label: name of the column to predict.
        task: whether its values are names of classes or numbers.
        separator: between the cells of a row.
        ignore: names of columns to leave out.
        categorical: names of columns whose numbers are names, such as postcodes.
        missing: whether missing values are refused or filled; a missing label is always refused.
        missing_values: texts that stand for one, beside the empty cell.
        scored: the rows are for a model that is trained already: one class will do.

    Returns:
        x float64 (rows, columns), the raw numbers that `layout` explains; y int64 or float64
        (rows,); no splits. Classes are in order of their names, or of their numbers.

    Raises:
        UserError: naming the file, the column and the row that is wrong.
    """
    read = table.read(path, separator, "data.path")
    if label is None:
        raise UserError(f"data.label: give one of the columns {', '.join(read.columns)}")
    target = read.column(label)
    for key, names in (("ignore", ignore), ("categorical", categorical)):
        for name in names:
            if name not in read.columns or name == label:
                what = "is the label" if name == label else f"is not in {read.path}"
                raise UserError(
                    f"data.{key}={names}: {name!r} {what}; choose from "
                    f"{', '.join(other for other in read.columns if other != label)}"
                )
    names = [name for name in read.columns if name != label and name not in ignore]
    if not names:
        raise UserError(f"data.ignore={ignore}: it leaves no column but the label")
    absent = columns.is_missing(target, missing_values)
    if absent.any():
        raise UserError(
            f"{read.path}: the label {label!r} has no value in row {int(absent.argmax()) + 1} "
            f"({absent.sum()} of {read.rows} rows); remove rows without a label"
        )
    found = columns.find(read, names, categorical, missing_values)
    layout = Layout(found, separator, missing, tuple(missing_values))
    x = columns.raw(read, layout)
    classes: tuple[str, ...] = ()
    if task == "classification":
        y, classes = _classes(read, label, 1 if scored else 2)
    else:
        y = _values(read, label)
    return Source(
        name=read.path.name.partition(".")[0],
        train=(x, y),
        val=None,
        test=None,
        labels="real" if task == "regression" else "integer",
        num_classes=len(classes) or None,
        class_names=classes,
        source=str(read.path),
        layout=layout,
    )


def _classes(read: Table, label: str, least: int) -> tuple[np.ndarray, tuple[str, ...]]:
    names, y = np.unique(read.column(label), return_inverse=True)
    if len(names) < least:
        raise UserError(
            f"{read.path}: the label {label!r} is {names[0]!r} in every row; there is nothing to "
            "learn from one class"
        )
    as_numbers = columns.numbers(names)
    numeric = np.isfinite(as_numbers).all()
    if len(names) > columns.MOST_CATEGORIES or 2 * len(names) > read.rows >= 20:
        mend = "give task=regression" if numeric else "choose another data.label"
        raise UserError(
            f"{read.path}: the label {label!r} has {len(names)} different values in {read.rows} "
            f"rows, too many for classes; {mend}"
        )
    if numeric:  # 2 before 10
        order = np.argsort(as_numbers, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        names, y = names[order], rank[y]
    return y.astype(np.int64), tuple(str(name) for name in names)


def _values(read: Table, label: str) -> np.ndarray:
    y = columns.numbers(read.column(label))
    bad = ~np.isfinite(y)
    if bad.any():
        raise UserError(
            f"{read.path}: the label {label!r} holds {str(read.column(label)[bad][0])!r} in row "
            f"{int(bad.argmax()) + 1}; task=regression takes finite numbers, "
            "task=classification names"
        )
    return y

"""What the columns of a table hold: numbers, or names of categories; missing values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from src.data.table import Table
from src.errors import UserError

Missing = Literal["refuse", "fill"]
# More would make a model of that width; what has so many is an id or free text.
MOST_CATEGORIES = 1000
COMMA = re.compile(r"[+-]?\d[\d.' ]*,[\d.,' ]*")  # 1,5 or 1,486.20


@dataclass(frozen=True)
class Column:
    """A column that models see. categories: names in order, none for a column of numbers."""

    name: str
    categories: tuple[str, ...] | None


@dataclass(frozen=True)
class Layout:
    """How a table's cells become raw numbers, the same for training and for new rows.

    missing: whether missing values are refused, or filled from the training rows.
    missing_values: the texts that stand for one, beside the empty cell.
    """

    columns: tuple[Column, ...]
    separator: str
    missing: Missing
    missing_values: tuple[str, ...]


def find(
    table: Table,
    names: Sequence[str],
    categorical: Sequence[str],
    missing_values: Sequence[str],
) -> tuple[Column, ...]:
    """Tell columns of numbers from columns of categories, which `categorical` may name.

    A column is of numbers if all its cells are, missing ones aside.

    Raises:
        UserError: a column holds nothing, mostly numbers, or a different name in each row.
    """
    made = []
    for name in names:
        cells = table.column(name)
        present = cells[~is_missing(cells, missing_values)]
        if not len(present):
            raise UserError(f"{table.path}: column {name!r} is empty; data.ignore=[{name}]")
        distinct = np.unique(present)
        wrong = np.isnan(numbers(distinct))
        if not wrong.any() and name not in categorical:
            made.append(Column(name, None))
            continue
        if not wrong.all() and wrong.mean() < 0.5 and name not in categorical:
            text = str(distinct[wrong][0])
            raise UserError(
                f"{table.path}: column {name!r} holds numbers, but {text!r} in row "
                f"{_row(cells == text)}; correct it, or say data.missing_values=[{text!r}], or "
                f"data.categorical=[{name}]"
            )
        commas = np.array([bool(COMMA.fullmatch(str(text))) for text in distinct])
        if commas.mean() > 0.5 and name not in categorical:
            raise UserError(
                f"{table.path}: column {name!r} holds numbers with commas, such as "
                f"{str(distinct[commas][0])!r}; write a point before decimals and nothing between "
                f"thousands, or say data.categorical=[{name}] if they are names"
            )
        if len(distinct) > MOST_CATEGORIES or len(distinct) == table.rows > 20:
            raise UserError(
                f"{table.path}: column {name!r} has {len(distinct)} different values in "
                f"{table.rows} rows; leave such ids and texts out: data.ignore=[{name}]"
            )
        made.append(Column(name, tuple(str(value) for value in distinct)))
    return tuple(made)


def raw(table: Table, layout: Layout) -> np.ndarray:
    """The columns as numbers, `(rows, columns)` float64.

    Categories are numbered in their order; -1 is a name that the column doesn't know. NaN is a
    missing value.

    Raises:
        UserError: naming column and row, where a number is none or a missing value is refused.
    """
    result = np.empty((table.rows, len(layout.columns)))
    for place, column in enumerate(layout.columns):
        cells = table.column(column.name)
        missing = is_missing(cells, layout.missing_values)
        if missing.any() and layout.missing == "refuse":
            raise UserError(
                f"{table.path}: column {column.name!r} has no value in row {_row(missing)} "
                f"({missing.sum()} of {table.rows} rows); data.missing=fill takes the training "
                f"rows' median (of categories: none of them), data.ignore=[{column.name}] leaves "
                "the column out"
            )
        if column.categories is None:
            values = numbers(cells)
            bad = ~np.isfinite(values) & ~missing
            if bad.any():
                text = str(cells[bad][0])
                raise UserError(
                    f"{table.path}: column {column.name!r} holds {text!r} in row {_row(bad)}; "
                    "allowed are finite numbers"
                )
        else:
            number = {name: code for code, name in enumerate(column.categories)}
            values = np.array([number.get(cell, -1) for cell in cells], np.float64)
        result[:, place] = np.where(missing, np.nan, values)
    return result


def is_missing(cells: np.ndarray, missing_values: Sequence[str]) -> np.ndarray:
    """Which cells hold no value, `(rows,)` bool."""
    return np.isin(cells, ["", *missing_values])


def numbers(cells: np.ndarray) -> np.ndarray:
    """The cells as float64, NaN where one is no number."""
    import pandas as pd

    return np.asarray(pd.to_numeric(cells, errors="coerce"), np.float64)


def _row(mask: np.ndarray) -> int:
    """The first row of a mask, counted from 1 below the header."""
    return int(mask.argmax()) + 1

"""The features of a table: its columns scaled and spread out, by figures of the training rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from src.data import table
from src.data.columns import Column, Layout, raw
from src.data.normalise import Normalisation, Scaling
from src.data.normalise import fit as fit_scaling
from src.errors import UserError


@dataclass(frozen=True, eq=False)
class Features:
    """What makes model inputs of a table's raw numbers, at training and for new rows alike.

    A column of numbers becomes one feature, (x - offset) / scale, a missing value first filled. A
    column of categories becomes a feature for each category of the training rows, 1 for its own;
    where the value is missing, or a category that no training row has, all of them are 0.

    fill, scaling: one figure for each column; those of categories are without effect.
    """

    layout: Layout
    fill: np.ndarray
    scaling: Scaling

    @property
    def width(self) -> int:
        """How many features there are."""
        return sum(len(column.categories or (None,)) for column in self.layout.columns)

    def apply(self, values: np.ndarray, layout: Layout) -> np.ndarray:
        """The features `(rows, width)` float32 of raw numbers `(rows, columns)`.

        layout: by which the raw numbers were made: it numbers the categories.

        Raises:
            UserError: when a value exceeds float32.
        """
        result = np.zeros((len(values), self.width), np.float32)
        offset, scale = (
            np.broadcast_to(figures, values.shape[1:])
            for figures in (self.scaling.offset, self.scaling.scale)
        )
        place = 0
        for number, column in enumerate(self.layout.columns):
            own = values[:, number]
            if column.categories is None:
                filled = np.where(np.isnan(own), self.fill[number], own)
                with np.errstate(over="ignore"):
                    result[:, place] = (filled - offset[number]) / scale[number]
                if not np.isfinite(result[:, place]).all():
                    raise UserError(
                        f"data: column {column.name!r} holds values that float32 can't; scale it"
                    )
                place += 1
            else:
                numbered = layout.columns[number].categories
                assert numbered is not None
                for name in column.categories:
                    if name in numbered:  # other data may lack it
                        result[:, place] = own == numbered.index(name)
                    place += 1
        return result

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON; `from_record` takes it back."""
        offset = np.broadcast_to(self.scaling.offset, self.fill.shape)
        scale = np.broadcast_to(self.scaling.scale, self.fill.shape)
        columns = []
        for number, column in enumerate(self.layout.columns):
            described: dict[str, Any] = {"name": column.name}
            if column.categories is None:
                described |= {"kind": "numeric", "fill": float(self.fill[number])}
                described |= {"offset": float(offset[number]), "scale": float(scale[number])}
            else:
                described |= {"kind": "categorical", "categories": list(column.categories)}
            columns.append(described)
        return {
            "columns": columns,
            "separator": self.layout.separator,
            "missing": self.layout.missing,
            "missing_values": list(self.layout.missing_values),
        }


def fit(layout: Layout, values: np.ndarray, normalisation: Normalisation) -> Features:
    """Fit to the raw numbers `(rows, columns)` of the training rows.

    Numbers are scaled as `src.data.normalise` says; a missing one is filled with their median. Of
    the categories those remain that a training row has.

    Raises:
        UserError: a column has no value in any training row, or figures exceed float64.
    """
    values, columns = values.copy(), []
    fill = np.zeros(values.shape[1])
    for number, column in enumerate(layout.columns):
        present = values[~np.isnan(values[:, number]), number]
        if not len(present):
            raise UserError(
                f"data: column {column.name!r} has no value in any of the {len(values)} training "
                f"rows; data.ignore=[{column.name}]"
            )
        if column.categories is None:
            fill[number] = np.median(present)
            values[np.isnan(values[:, number]), number] = fill[number]
            columns.append(column)
        else:
            seen = np.unique(present).astype(int)
            columns.append(Column(column.name, tuple(column.categories[code] for code in seen)))
            values[:, number] = 0
    scaling = fit_scaling(values, np.arange(len(values)), normalisation)
    fitted = Layout(tuple(columns), layout.separator, layout.missing, layout.missing_values)
    return Features(fitted, fill, scaling)


def from_record(record: dict[str, Any]) -> Features:
    """The features that `Features.record` described."""
    described = record["columns"]
    columns = tuple(
        Column(each["name"], tuple(each["categories"]) if "categories" in each else None)
        for each in described
    )

    def figures(key: str, otherwise: float) -> np.ndarray:
        return np.array([each.get(key, otherwise) for each in described], np.float64)

    return Features(
        Layout(columns, record["separator"], record["missing"], tuple(record["missing_values"])),
        figures("fill", 0.0),
        Scaling(figures("offset", 0.0), figures("scale", 1.0)),
    )


def of_new_rows(path: str, record: dict[str, Any], key: str) -> tuple[np.ndarray, list[str]]:
    """Model inputs for the rows of a CSV file, by the record of a run's features.

    Columns that training didn't use, such as the label, may be there and are left out.

    Args:
        path: of the file.
        record: `dataset.features` in the run's record, as `Features.record` made it.
        key: of the file in the configuration, for messages.

    Returns:
        Float32 `(rows, width)`, and a line on each column with categories that training never saw.

    Raises:
        UserError: naming the column and the row that don't fit.
    """
    features = from_record(record)
    rows = table.read(path, features.layout.separator, key)
    values = raw(rows, features.layout)
    notes = []
    for number, column in enumerate(features.layout.columns):
        unknown = values[:, number] == -1
        if column.categories is not None and unknown.any():
            names = ", ".join(sorted(set(rows.column(column.name)[unknown]))[:5])
            notes.append(
                f"{path}: column {column.name!r} has categories that training never saw, in "
                f"{unknown.sum()} rows: {names}; they count as none of the known ones"
            )
    return features.apply(values, features.layout), notes

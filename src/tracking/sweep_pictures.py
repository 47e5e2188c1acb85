"""The objective of a sweep over the keys that vary: a line for one number, a heat map for two."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from src.tracking import pictures

Row = dict[str, Any]


def of_sweep(results: dict[str, Any], artifacts: Path) -> list[Path]:
    """Draw pictures/objective.png where one or two swept keys allow it; the files' paths."""
    objective = str(results.get("objective", "objective"))
    rows = [row for row in results.get("rows", []) if _is_number(row.get("objective"))]
    keys = [key for key in results.get("keys", []) if len(_values(rows, key)) > 1]
    if not rows or not 1 <= len(keys) <= 2:
        return []
    figure = pictures.new_figure(6, 4)
    axis = figure.subplots()
    if len(keys) == 1:
        _line(axis, rows, keys[0], objective)
    else:
        _heat_map(figure, axis, rows, keys, objective, results.get("direction") == "max")
    return [pictures.save(figure, artifacts / pictures.FOLDER / "objective.png")]


def _line(axis: Any, rows: list[Row], key: str, objective: str) -> None:
    values = _values(rows, key)
    numeric = all(_is_number(value) for value in values)
    places = {value: value if numeric else i for i, value in enumerate(values)}
    points = sorted((places[_value(row, key)], row["objective"]) for row in rows)
    x, y = zip(*points, strict=True)
    axis.plot(x, y, marker="o")
    if not numeric:
        axis.set_xticks(range(len(values)), [str(value) for value in values], rotation=20)
    elif _spans_decades(values):
        axis.set_xscale("log")
    axis.set(xlabel=key, ylabel=objective)
    axis.grid(alpha=0.3)


def _heat_map(
    figure: Any, axis: Any, rows: list[Row], keys: list[str], objective: str, largest: bool
) -> None:
    """Where several jobs share a cell (seeds, say), their mean stands in it."""
    names, columns = (_values(rows, key) for key in keys)
    cells: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        place = names.index(_value(row, keys[0])), columns.index(_value(row, keys[1]))
        cells.setdefault(place, []).append(float(row["objective"]))
    grid = np.full((len(names), len(columns)), np.nan)
    for place, values in cells.items():
        grid[place] = np.mean(values)
    figure.set_size_inches(2.5 + 0.8 * len(columns), 1.8 + 0.55 * len(names))
    axis.spines[:].set_visible(False)
    image = axis.imshow(grid, cmap="viridis" if largest else "viridis_r", aspect="auto")
    figure.colorbar(image, ax=axis, label=objective)
    axis.set_xticks(range(len(columns)), [str(value) for value in columns], rotation=30)
    axis.set_yticks(range(len(names)), [str(value) for value in names])
    axis.set(xlabel=keys[1], ylabel=keys[0])
    if grid.size <= 200:
        for (row, column), value in np.ndenumerate(grid):
            if not math.isnan(value):
                red, green, blue, _ = image.cmap(image.norm(value))
                dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
                color = "white" if dark else "black"
                axis.text(column, row, f"{value:.3g}", ha="center", va="center", color=color)


def _value(row: Row, key: str) -> Any:
    value = (row.get("values") or {}).get(key)
    return value if isinstance(value, int | float) else str(value)


def _values(rows: list[Row], key: str) -> list[Any]:
    """Distinct values of a swept key: numbers by size, then the others as they come."""
    found = list(dict.fromkeys(_value(row, key) for row in rows))
    numbers = sorted(value for value in found if _is_number(value))
    return numbers + [value for value in found if not _is_number(value)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _spans_decades(values: list[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= 20

"""Pictures of a run, drawn from its numbers: learning curves, confusion matrix, residuals.

Figures are made without pyplot, which would keep every one of them alive.
"""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.tracking.history import History

FOLDER = "pictures"
CONFUSION_FILE = "confusion_matrix.json"  # {"class_names": [...], "counts": [[...]]}: rows are true
RESIDUALS_FILE = "residuals.json"  # {"true": [...], "predicted": [...]}
_COLORS = {"train": "tab:blue", "val": "tab:orange", "test": "tab:green"}
_MOST_POINTS = 2000  # more can't be told apart in a picture


def of_run(history: History, artifacts: Path) -> list[Path]:
    """Draw what there is to draw into `artifacts/pictures`; the files' paths."""
    pictures = {
        "learning_curves": _learning_curves(history),
        "confusion_matrix": _confusion_matrix(_load(artifacts / CONFUSION_FILE)),
        "residuals": _residuals(_load(artifacts / RESIDUALS_FILE)),
    }
    return [
        save(figure, artifacts / FOLDER / f"{name}.png")
        for name, figure in pictures.items()
        if figure is not None
    ]


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=110, facecolor="white")
    return path


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})
    return Figure(figsize=(width, height), layout="constrained")


def _load(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _learning_curves(history: History) -> Figure | None:
    """One panel a metric with its train and val curves, one for the loss of every update."""
    panels: dict[str, dict[str, dict[int, float]]] = {}
    for key, values in history.metrics.items():
        split, _, name = key.partition("/")
        if split in _COLORS and name:
            panels.setdefault(name, {})[split] = values
    steps, losses = history.update_series("update/loss")
    count = len(panels) + bool(len(steps))
    if count == 0:
        return None
    columns = min(count, 3)
    figure = new_figure(4.2 * columns, 3.1 * math.ceil(count / columns))
    axes = figure.subplots(math.ceil(count / columns), columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis, (name, curves) in zip(axes, sorted(panels.items()), strict=False):
        _panel(axis, name, curves)
    if len(steps):
        _update_panel(axes[count - 1], steps, losses)
    return figure


def _panel(axis: Axes, name: str, curves: dict[str, dict[int, float]]) -> None:
    for split, values in curves.items():
        epochs = sorted(values)
        single = len(epochs) == 1
        axis.plot(
            epochs,
            [values[epoch] for epoch in epochs],
            marker="o" if len(epochs) < 30 else None,
            markersize=6 if single else 3,
            color=_COLORS[split],
            label=split,
        )
    axis.set(title=name, xlabel="epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)


def _update_panel(axis: Axes, steps: np.ndarray, losses: np.ndarray) -> None:
    """The loss of every update, and its running mean over a fiftieth of them."""
    width = max(len(losses) // 50, 1)
    thin = max(len(losses) // _MOST_POINTS, 1)
    axis.plot(steps[::thin], losses[::thin], color="tab:blue", alpha=0.25, linewidth=0.7)
    if width > 1 and np.isfinite(losses).all():
        sums = np.cumsum(np.insert(losses.astype(np.float64), 0, 0.0))
        means = (sums[width:] - sums[:-width]) / width
        centres = steps[width // 2 : width // 2 + len(means)]
        axis.plot(centres[::thin], means[::thin], color="tab:blue", label=f"mean of {width}")
        axis.legend(frameon=False)
    axis.set(title="loss of every update", xlabel="update")
    axis.grid(alpha=0.3)


def _confusion_matrix(content: dict[str, Any] | None) -> Figure | None:
    if content is None:
        return None
    counts = np.asarray(content["counts"], np.int64)  # (true, predicted)
    classes = len(counts)
    names = [str(name) for name in content.get("class_names") or range(classes)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.5, 1.5 + 0.45 * classes), 14)
    figure = new_figure(side + 1, side)
    axis = figure.subplots()
    axis.spines[:].set_visible(False)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.8)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    axis.set(xlabel="predicted", ylabel="true", title=f"validation: {accuracy:.1%} right")
    if classes <= 50:
        axis.set_xticks(range(classes), names, rotation=45, ha="right")
        axis.set_yticks(range(classes), names)
    if classes <= 25:
        for row, column in np.argwhere(counts > 0):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = str(counts[row, column])
            axis.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    return figure


def _residuals(content: dict[str, Any] | None) -> Figure | None:
    if content is None:
        return None
    true = np.asarray(content["true"], np.float64).ravel()
    predicted = np.asarray(content["predicted"], np.float64).ravel()
    thin = max(len(true) // _MOST_POINTS, 1)
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    left.scatter(true[::thin], predicted[::thin], s=6, alpha=0.5)
    finite = np.concatenate([true, predicted])
    finite = finite[np.isfinite(finite)]
    if len(finite):
        ends = [finite.min(), finite.max()]
        left.plot(ends, ends, color="gray", linewidth=1)
    left.set(xlabel="true", ylabel="predicted", title="validation")
    residuals = predicted - true
    right.hist(residuals[np.isfinite(residuals)], bins=50)
    right.set(xlabel="predicted - true", ylabel="rows", title="residuals")
    return figure

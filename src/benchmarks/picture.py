"""The ratios as bars on a logarithmic axis, each with its spread and its target."""

from collections.abc import Sequence
from pathlib import Path

from src.benchmarks.result import Line, Result
from src.benchmarks.table import number

BETTER = {
    ">=": "times as many as the peer (more is better)",
    "<=": "share of the peer's time or memory (less is better)",
}
COLOURS = {True: "#2a7f62", False: "#c0392b", None: "#8795a1"}
LEGEND = {True: "target reached", False: "target not reached", None: "no target"}


def draw(results: Sequence[Result], path: Path) -> bool:
    """Write a PNG; False when there is no ratio to draw."""
    panels: dict[str, list[tuple[Result, Line]]] = {">=": [], "<=": []}
    for result in results:
        for line in result.lines:
            if line.theirs is not None and line.same:
                panels[_direction(line)].append((result, line))
    panels = {direction: drawn for direction, drawn in panels.items() if drawn}
    if not panels:
        return False
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import Patch

    heights = [len(drawn) + 1.5 for drawn in panels.values()]
    figure = Canvas(figsize=(11, 0.36 * sum(heights) + 1), layout="constrained")
    axes = figure.subplots(len(panels), height_ratios=heights, squeeze=False)
    for axis, (direction, drawn) in zip(axes[:, 0], panels.items(), strict=True):
        _panel(axis, drawn)
        axis.set_xlabel(BETTER[direction])
    shown = {result.reached(line) for drawn in panels.values() for result, line in drawn}
    patches = [
        Patch(color=COLOURS[state], label=LEGEND[state]) for state in LEGEND if state in shown
    ]
    figure.legend(handles=patches, loc="outside upper right", ncols=len(patches), frameon=False)
    figure.savefig(path, dpi=130)
    return True


def _direction(line: Line) -> str:
    if line.target is not None:
        return line.target.relation
    return ">=" if line.ours.unit.endswith("/s") else "<="


def _panel(axis, drawn: Sequence[tuple[Result, Line]]) -> None:  # type: ignore[no-untyped-def]
    for position, (result, line) in enumerate(drawn):
        figure = line.judged
        # From 1, where both are equal, to either side.
        colour = COLOURS[result.reached(line)]
        axis.barh(position, figure.median - 1, left=1, color=colour, height=0.6)
        axis.hlines(position, figure.low, figure.high, color="black", linewidth=1.2)
        if line.target is not None:
            axis.vlines(
                line.target.value, position - 0.42, position + 0.42, color="black", linestyle=":"
            )
        axis.annotate(
            f"{number(figure.median)}x",
            (max(figure.high, figure.median), position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.set_yticks(range(len(drawn)), [f"{line.what}\nagainst {line.peer}" for _, line in drawn])
    axis.tick_params(axis="y", labelsize=7)
    axis.set_xscale("log")
    axis.invert_yaxis()
    axis.axvline(1, color="black", linewidth=0.8)
    axis.margins(x=0.15)
    axis.spines[["top", "right"]].set_visible(False)

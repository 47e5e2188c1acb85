"""What the terminal shows when a run or a sweep has ended."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.console import describe
from src.tracking.shipping import Delivery

if TYPE_CHECKING:
    from src.run import Run


def show_run(run: "Run", outputs: Path, delivery: Delivery | None) -> None:
    """A small table: metrics, how it ended, run id, folder, how to browse."""
    rows = [(name, f"{value:.4f}") for name, value in run.metrics.items()]
    if run.best is not None:
        rows.append((f"best {run.monitor}", f"{run.best.value:.4f} at epoch {run.best.epoch}"))
    if run.status != "FINISHED" or run.stopped_early or run.target is not None:
        rows.append((str(run.status).lower(), run.reason))
    rows.append(("run", (delivery.run_id if delivery else None) or run.tracker.record.id))
    rows.append(("folder", _near(run.folder)))
    rows += _browsing(outputs, delivery)
    if run.status == "KILLED":
        rows.append(
            ("go on", f"the same command with resume={run.tracker.record.id}, or resume=auto")
        )
    _show_pairs(rows)


def show_child(name: str, run: "Run", seconds: float) -> None:
    """One line for a job of a sweep."""
    reached = describe(run.metrics) if run.status == "FINISHED" else f"{run.status}: {run.reason}"
    print(f"{name}: {reached}  ({seconds:.1f} s)", flush=True)


def show_sweep(
    results: dict[str, Any], folder: Path, outputs: Path, delivery: Delivery | None
) -> None:
    """The table of a sweep's jobs, the best first, and how to browse."""
    from rich.console import Console  # 0.1 s that only the end of a sweep pays
    from rich.table import Table

    keys, objective = results["keys"], results["objective"]
    table = Table(box=None, pad_edge=False)
    for heading in [*keys, objective, "epoch", "status"]:
        table.add_column(heading, overflow="fold")
    for row in ranked(results):
        value = row["objective"]
        table.add_row(
            *(str(row["values"].get(key, "")) for key in keys),
            "" if value is None else f"{value:.4f}",
            str(row.get("epoch") or ""),
            row["status"].lower() + (f": {row['reason']}" if row["status"] != "FINISHED" else ""),
        )
    width = None if sys.stdout.isatty() else max(120, shutil.get_terminal_size().columns)
    Console(width=width, highlight=False, markup=False).print(table)
    rows = [
        ("sweep", (delivery.run_id if delivery else None) or folder.name),
        ("folder", _near(folder)),
    ]
    _show_pairs(rows + _browsing(outputs, delivery))


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns of equal width, the first row their headings, numbers at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip())


def show_used(
    identifier: str,
    folder: Path,
    checkpoint: str,
    results: Sequence[tuple[str, str]],
    outputs: Path,
    delivery: Delivery | None,
) -> None:
    """What a command that used a recorded run took, and what it made of it."""
    run = (delivery.run_id if delivery else None) or identifier
    rows = [("run", run), ("folder", _near(folder)), ("checkpoint", checkpoint), *results]
    _show_pairs(rows + _browsing(outputs, delivery))


def ranked(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a sweep's results, the best objective first, those without one last."""
    sign = 1 if results["direction"] == "min" else -1
    return sorted(
        results["rows"],
        key=lambda row: (row["objective"] is None, sign * (row["objective"] or 0.0), row["number"]),
    )


def _browsing(outputs: Path, delivery: Delivery | None) -> list[tuple[str, str]]:
    if delivery is None:
        return []
    command = (
        "make ui"
        if outputs == Path("outputs").absolute()
        else f"make ui OUTPUTS={shlex.quote(_near(outputs))}"
    )
    if delivery.delivered:
        return [("browse", command)]
    if delivery.going_on:
        return [("delivery", "goes on in the background"), ("browse", command)]
    what = (
        ", ".join(f"{count} {kind}" for kind, count in delivery.undelivered.items())
        or "part of the record"
    )
    return [
        ("undelivered", f"{what} ({delivery.error})"),
        ("deliver later", f"python -m src.sync outputs={shlex.quote(_near(outputs))}"),
    ]


def _near(path: Path) -> str:
    """The path as seen from the working folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _show_pairs(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    print("\n" + "\n".join(f"{name:<{width}}  {value}" for name, value in rows), flush=True)

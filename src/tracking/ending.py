"""What a run gets in the store when it ends: pictures, a description in words, its status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src import crash_points
from src.tracking import description, outstanding
from src.tracking.children import run_of
from src.tracking.history import History, read_history
from src.tracking.journal import FILE_NAME, Line
from src.tracking.record import RunRecord
from src.tracking.store import Store

RESULTS_FILE = "results.json"  # in a sweep's artifacts folder


def deliver_end(
    store: Store, folder: Path, record: RunRecord, run_id: str, line: Line
) -> list[str] | None:
    """Deliver the end of a run or a sweep: problems met, or None when it has to wait.

    A sweep waits until its best child has a run. A picture that can't be drawn is a problem that is
    told, no more. Raises StoreError.
    """
    history = read_history(folder / FILE_NAME)
    problems: list[str] = []
    tags: dict[str, str] = {}
    metrics: list[tuple[str, float, int, int]] = []
    if record.kind == "sweep":
        results = _results(folder)
        best = _best(results)
        if best is not None:
            place = folder / str(best["number"])
            child = run_of(place) or place
            state = outstanding.load_delivery(child)
            known = state.get("run_id") or best.get("run_id")
            failed = state.get("status") == "failed"
            if not known and not failed and (child / "run.json").is_file():
                return None
            tags = {"best_run_id": known or "", "best_run_name": str(best.get("name", ""))}
            metrics = [(f"best/{results['objective']}", float(best["objective"]), line["t"], 0)]
        note = description.of_sweep(record, history, results, best)
        files = _files(problems, lambda: _sweep_files(folder, record, results))
    else:
        note = description.of_run(record, history, folder, run_id)
        files = _files(problems, lambda: _run_files(folder, record, history))
    for path in files:
        parent = path.relative_to(folder / "artifacts").parent.as_posix()
        store.upload(run_id, path, None if parent == "." else parent)
    crash_points.passing("ending.files")
    tags["mlflow.note.content"] = note
    tags["end_reason"] = str(line.get("reason", ""))[:8000]
    store.log(run_id, metrics, tags=tags)
    store.set_status(run_id, line["status"], line.get("last_sign") or line["t"])
    return problems


def _files(problems: list[str], draw: Callable[[], list[Path]]) -> list[Path]:
    try:
        return draw()
    except Exception as error:  # numbers nobody foresaw must not keep the status from arriving
        problems.append(f"a picture could not be drawn: {type(error).__name__}: {error}")
        return []


def _run_files(folder: Path, record: RunRecord, history: History) -> list[Path]:
    if record.artifacts != "full":
        return []
    from src.tracking import pictures

    return pictures.of_run(history, folder / "artifacts")


def _sweep_files(folder: Path, record: RunRecord, results: dict[str, Any]) -> list[Path]:
    if not results.get("rows") or record.artifacts == "none":
        return []
    from src.tracking import sweep_pictures, sweep_table

    files = sweep_table.write(results, folder / "artifacts")
    if record.artifacts == "full":
        files += sweep_pictures.of_sweep(results, folder / "artifacts")
    return files


def _results(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "artifacts" / RESULTS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _best(results: dict[str, Any]) -> dict[str, Any] | None:
    """The row with the best objective; None when no job has a comparable one."""
    rows = [row for row in results.get("rows", []) if isinstance(row.get("objective"), int | float)]
    rows = [row for row in rows if row["objective"] == row["objective"]]  # NaN is never best
    if not rows:
        return None
    sign = -1.0 if results.get("direction") == "max" else 1.0
    return min(rows, key=lambda row: sign * row["objective"])

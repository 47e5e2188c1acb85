"""The description of a run in words (MLflow shows it above the run): what ran and how it ended."""

from pathlib import Path
from typing import Any

from src.tracking import sweep_table
from src.tracking.history import History
from src.tracking.record import RunRecord

MAX_LENGTH = 8000  # of an MLflow tag
_VERDICTS = {"FINISHED": "Finished", "FAILED": "**Failed**", "KILLED": "**Stopped before its end**"}


def of_run(record: RunRecord, history: History, folder: Path, run_id: str) -> str:
    """Markdown for a single run."""
    parts = [_ending(history), _subject(record)]
    if history.mismatch:
        parts.append(f"**Not deterministic:** {history.mismatch}.")
    table = _metrics_table(history)
    if table:
        parts.append(table)
    parts.append(_commands(record, history, run_id))
    parts.append(f"Everything the run wrote is in `{folder.resolve()}`.")
    return "\n\n".join(part for part in parts if part)[:MAX_LENGTH]


def of_sweep(
    record: RunRecord, history: History, results: dict[str, Any], best: dict[str, Any] | None
) -> str:
    """Markdown for the parent run of a sweep."""
    rows = results.get("rows", [])
    failed = sum(row.get("status") != "FINISHED" for row in rows)
    keys = ", ".join(f"`{key}`" for key in results.get("keys", []))
    parts = [_ending(history), f"A sweep over {keys or 'no key'}: {len(rows)} jobs."]
    if failed:
        parts.append(f"**{failed} of them did not finish.**")
    if best is not None:
        objective = results.get("objective", "objective")
        parts.append(f"Best `{objective}`: **{best['objective']:.6g}** by {best.get('name', '')}.")
    if rows:
        shown = {**results, "rows": sweep_table.ranked(results)[:20]}
        parts.append(sweep_table.markdown(shown))
        if len(rows) > 20:
            parts.append(f"The 20 best of {len(rows)}; all of them are in the artifact table.csv.")
    command = record.tags.get("command")
    if command:
        parts.append(f"To run it again:\n\n    {command}")
    return "\n\n".join(parts)[:MAX_LENGTH]


def _ending(history: History) -> str:
    end = history.end or {}
    verdict = _VERDICTS.get(str(end.get("status")), "Still running")
    reached = []
    if end.get("epoch"):
        reached.append(f"{end['epoch']} epochs")
    if end.get("update"):
        reached.append(f"{end['update']:,} updates")
    text = verdict + (f" after {' and '.join(reached)}" if reached else "")
    if history.begins:
        until = end.get("last_sign") or end.get("t") or history.last_time
        text += f", {_duration(until - history.begins[0]['t'])} after it began"
    resumed = [str(line["update"]) for line in history.begins[1:]]
    if resumed:
        text += f" (resumed at update {', '.join(resumed)})"
    reason = str(end.get("reason") or "").strip().rstrip(".")
    return f"{text}: {reason}." if reason else f"{text}."


def _duration(milliseconds: int) -> str:
    seconds = max(milliseconds, 0) / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _subject(record: RunRecord) -> str:
    lines = []
    data = record.dataset
    if data:
        rows = [
            f"{data[key]:,} {name}"
            for key, name in (
                ("train_rows", "training"),
                ("val_rows", "validation"),
                ("test_rows", "test"),
            )
            if isinstance(data.get(key), int) and data[key]
        ]
        text = f"- Data: {data.get('name')}, rows: {', '.join(rows)}"
        if data.get("input_shape"):
            text += f"; input {tuple(data['input_shape'])}"
        if data.get("num_classes"):
            text += f"; {data['num_classes']} outputs"
        lines.append(text)
    for group, title in (("model", "Model"), ("optimizer", "Optimizer"), ("step", "Step")):
        target = record.params.get(f"{group}._target_")
        if target is None:
            continue
        options = [
            f"{key.removeprefix(f'{group}.')}={value}"
            for key, value in record.params.items()
            if key.startswith(f"{group}.") and key != f"{group}._target_" and value is not None
        ]
        lines.append(f"- {title}: `{target}` {', '.join(options)}".rstrip())
    settings = [
        f"{key}={record.params[key]}"
        for key in ("seed", "epochs", "data.batch_size")
        if key in record.params
    ]
    if settings:
        lines.append(f"- Settings: {', '.join(settings)}")
    return "\n".join(lines)


def _metrics_table(history: History) -> str:
    """One row a metric: its last value, and the lowest and highest over the epochs."""
    rows = ["| metric | last | epoch | lowest | highest |", "|---|---|---|---|---|"]
    for key, (step, value) in sorted(history.last().items()):
        finite = [v for v in history.metrics[key].values() if v - v == 0]
        extremes = f"{min(finite):.6g} | {max(finite):.6g}" if finite else " | "
        rows.append(f"| {key} | {value:.6g} | {step} | {extremes} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def _commands(record: RunRecord, history: History, run_id: str) -> str:
    lines = []
    command = record.tags.get("command")
    if command:
        lines += ["To run it again:", "", f"    {command}"]
    status = (history.end or {}).get("status")
    if status != "FINISHED":
        lines += ["", "To go on from its last checkpoint:", ""]
        lines += [f"    python -m src.train resume={record.id}"]
    if history.models:
        lines += ["", "To load its best model:", ""]
        lines += [f'    mlflow.pyfunc.load_model("runs:/{run_id}/model")']
    return "\n".join(lines)

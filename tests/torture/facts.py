"""What a run is, read from its folder and from the store; what is wrong with one that survived."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.tracking import journal
from src.tracking.journal import NOT_COMPARED
from src.tracking.outstanding import load_delivery
from src.tracking.record import RunRecord
from tests.tracking.runs import Rows

Points = dict[tuple[str, int], float]


@dataclass(frozen=True)
class Facts:
    """What must be the same whether a run was killed or not."""

    state: str | None
    status: str | None
    points: Points  # (key, step) to value, those of the machine left out
    artifacts: frozenset[str]
    models: int
    mismatches: tuple[str, ...]


def facts(folder: Path) -> Facts:
    """What the journal of a run says. AssertionError: a point is there twice."""
    points: Points = {}
    artifacts, models, status, state = set(), 0, None, None
    mismatches = []
    for _, line in journal.read(folder / journal.FILE_NAME):
        kind = line["kind"]
        if kind in ("updates", "metrics"):
            for key, value in _points(line):
                assert key not in points, f"{key} is in the journal twice"
                points[key] = value
        elif kind == "artifact":
            artifacts.add(line["path"])
        elif kind == "tags":
            state = line["tags"].get("state_sha256", state)
        elif kind in ("begin", "end"):
            status = line.get("status")
        elif kind == "mismatch":
            mismatches.append(line["text"])
        models += kind == "model"
    points = {key: value for key, value in points.items() if not key[0].startswith(NOT_COMPARED)}
    return Facts(state, status, points, frozenset(artifacts), models, tuple(mismatches))


def _points(line: dict[str, Any]) -> list[tuple[tuple[str, int], float]]:
    if line["kind"] == "metrics":
        return [((key, line["step"]), value) for key, value in line["values"].items()]
    return [
        ((key, line["first"] + place), value)
        for key, text in line["values"].items()
        for place, value in enumerate(journal.decode_array(text).tolist())
    ]


def differences(found: Facts, expected: Facts) -> list[str]:
    """Where a run that was killed differs from one that never was."""
    problems = [
        f"{name} is {getattr(found, name)!r}, not {getattr(expected, name)!r}"
        for name in ("state", "status", "artifacts", "models", "mismatches")
        if getattr(found, name) != getattr(expected, name)
    ]
    for key in sorted(found.points.keys() | expected.points.keys()):
        values = found.points.get(key), expected.points.get(key)
        if not _same(*values):
            problems.append(f"{key} is {values[0]!r}, not {values[1]!r}")
            break
    return problems


def undelivered(folder: Path, database: Path, artifacts: Path | None = None) -> list[str]:
    """Where the store differs from the run's journal: it holds each point once, in one run.

    artifacts: where a server keeps them.
    """
    rows, record, held = Rows(database), RunRecord.load(folder), facts(folder)
    runs = rows.query(
        "SELECT run_uuid, status FROM runs JOIN tags USING (run_uuid)"
        " WHERE key = 'harness.id' AND tags.value = ?",
        record.id,
    )
    if len(runs) != 1:
        return [f"the store has {len(runs)} runs of it"]
    [(run_id, status)] = runs
    problems = []
    if status != (held.status or "RUNNING"):
        problems.append(f"the store calls it {status}, the journal {held.status}")
    if load_delivery(folder).get("error"):
        problems.append(f"delivery.json says {load_delivery(folder)['error']}")
    stored: Points = {}
    for key, step, value, is_nan in rows.query(
        "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ?", run_id
    ):
        if (key, step) in stored:
            problems.append(f"{key} at step {step} is in the store twice")
        stored[key, step] = math.nan if is_nan else value
    stored = {key: value for key, value in stored.items() if not key[0].startswith(NOT_COMPARED)}
    wrong = [
        key
        for key in stored.keys() | held.points.keys()
        if not _same(stored.get(key), held.points.get(key))
    ]
    if wrong:
        problems.append(f"{len(wrong)} points differ in the store, such as {min(wrong)}")
    tags = rows.texts("tags", run_id)
    if tags.get("state_sha256") != held.state:
        problems.append(f"the store's state_sha256 is {tags.get('state_sha256')}")
    [(models,)] = rows.query("SELECT count(*) FROM logged_models WHERE source_run_id = ?", run_id)
    if models != held.models:
        problems.append(f"the store has {models} models of it, not {held.models}")
    [(uri,)] = rows.query("SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
    root = Path(uri.removeprefix("file://"))
    if artifacts is not None:
        root = artifacts / uri.removeprefix("mlflow-artifacts:/")
    return problems + _files(root, held)


def _files(root: Path, held: Facts) -> list[str]:
    """What artifacts are missing in the store, and what does not belong there."""
    stored = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    problems = [f"artifact {name} is not in the store" for name in held.artifacts - stored]
    hidden = [name for name in stored if Path(name).name.startswith(".")]
    return problems + [f"{name} was left in the store" for name in hidden]


def _same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return left == right or (math.isnan(left) and math.isnan(right))

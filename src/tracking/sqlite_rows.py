"""Runs straight into the tables of MLflow's SQLite database, the same rows as MLflow writes.

Through MLflow's own objects 1,000 metrics take 60-90 ms (400 ms when sent again) and a run some ten
transactions, each flushed to disk: the end of a long run, or of a sweep with hundreds of children,
would wait for them. So for database schemas whose tables are known (tests compare the rows of both
ways) they are written here; other schemas and other stores take MLflow's way.

Every function works within the caller's transaction and may be repeated without harm.
"""

import math
import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

KNOWN_SCHEMAS = {"dc11669786a5"}  # MLflow 3.17
BUSY_SECONDS = 1.0  # how long one statement waits for another process' transaction

Metric = tuple[str, float, int, int]  # key, value, timestamp in ms, step

_LATEST = """
INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key, run_uuid) DO UPDATE
SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step,
    is_nan = excluded.is_nan
WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)
"""
_TAG = """
INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)
ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
"""
_FIND = """
SELECT runs.run_uuid FROM tags JOIN runs USING (run_uuid)
WHERE key = ? AND value = ? AND experiment_id = ? AND lifecycle_stage = 'active'
ORDER BY start_time LIMIT 1
"""
_LARGEST = 1.7976931348623157e308  # how MLflow stores an infinity in SQL


class GoneError(Exception):
    """The run isn't in the database."""


class RefusedError(Exception):
    """The database holds something that these rows contradict."""


def connect(database: Path) -> sqlite3.Connection:
    """A connection in autocommit mode to a database that exists. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"{database.as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # the shipper's threads take turns
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def knows(database: Path) -> bool:
    """Whether the tables of `database` are those this module writes."""
    with closing(connect(database)) as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return {row[0] for row in rows} <= KNOWN_SCHEMAS and bool(rows)


def find_run(
    connection: sqlite3.Connection, experiment_id: str, tag: str, value: str
) -> str | None:
    """The id of the first run with this tag in an experiment."""
    row = connection.execute(_FIND, (tag, value, int(experiment_id))).fetchone()
    return str(row[0]) if row else None


def create_run(
    connection: sqlite3.Connection,
    experiment_id: str,
    name: str,
    created: int,
    tags: dict[str, str],
) -> str:
    """The id of a new run, RUNNING since `created` (ms)."""
    query = "SELECT artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = ?"
    row = connection.execute(query, (int(experiment_id),)).fetchone()
    if row is None or row[1] != "active":
        raise RefusedError(f"experiment {experiment_id} is deleted")
    run_id = uuid.uuid4().hex
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,"
        " status, start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, ?, 'UNKNOWN', '', '', ?, 'RUNNING', ?, '', 'active', ?, ?)",
        (
            run_id,
            name,
            tags.get("mlflow.user", "unknown"),
            created,
            f"{row[0].rstrip('/')}/{run_id}/artifacts",
            int(experiment_id),
        ),
    )
    log(connection, run_id, [], {}, {"mlflow.runName": name, **tags})
    return run_id


def log(
    connection: sqlite3.Connection,
    run_id: str,
    metrics: Iterable[Metric],
    params: dict[str, str],
    tags: dict[str, str],
) -> None:
    """Metrics, params and tags of a run. Raises GoneError, RefusedError."""
    check_active(connection, run_id)
    _check_params(connection, run_id, params)
    rows = [
        (key, *_stored(value), timestamp, run_id, step) for key, value, timestamp, step in metrics
    ]
    latest: dict[str, tuple[int, int, float, int]] = {}
    for key, value, is_nan, timestamp, _, step in rows:
        last = (step, timestamp, value, is_nan)
        latest[key] = max(latest.get(key, last), last)
    connection.executemany(
        "INSERT OR IGNORE INTO metrics (key, value, is_nan, timestamp, run_uuid, step)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.executemany(
        _LATEST,
        [
            (key, value, timestamp, run_id, step, is_nan)
            for key, (step, timestamp, value, is_nan) in latest.items()
        ],
    )
    connection.executemany(
        "INSERT OR IGNORE INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
        [(key, value, run_id) for key, value in params.items()],
    )
    connection.executemany(_TAG, [(key, value, run_id) for key, value in tags.items()])


def log_dataset(
    connection: sqlite3.Connection, run_id: str, dataset: dict[str, str | None], context: str
) -> None:
    """A data set (name, digest, source_type, source, schema, profile) as the run's input."""
    check_active(connection, run_id)
    connection.execute(
        "INSERT OR IGNORE INTO datasets (dataset_uuid, experiment_id, name, digest,"
        " dataset_source_type, dataset_source, dataset_schema, dataset_profile)"
        " SELECT ?, experiment_id, ?, ?, ?, ?, ?, ? FROM runs WHERE run_uuid = ?",
        (uuid.uuid4().hex, *dataset.values(), run_id),
    )
    (dataset_id,) = connection.execute(
        "SELECT dataset_uuid FROM datasets JOIN runs USING (experiment_id)"
        " WHERE run_uuid = ? AND datasets.name = ? AND digest = ?",
        (run_id, dataset["name"], dataset["digest"]),
    ).fetchone()
    input_id = uuid.uuid4().hex
    done = connection.execute(
        "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, destination_type,"
        " destination_id) VALUES (?, 'DATASET', ?, 'RUN', ?)",
        (input_id, dataset_id, run_id),
    )
    if done.rowcount:
        connection.execute(
            "INSERT INTO input_tags (input_uuid, name, value) VALUES (?, 'mlflow.data.context', ?)",
            (input_id, context),
        )


def set_status(
    connection: sqlite3.Connection, run_id: str, status: str, end_time: int | None
) -> None:
    """Status and, unless None, end time (ms) of a run."""
    check_active(connection, run_id)
    connection.execute(
        "UPDATE runs SET status = ?, end_time = coalesce(?, end_time) WHERE run_uuid = ?",
        (status, end_time, run_id),
    )


def params(connection: sqlite3.Connection, run_id: str) -> dict[str, str]:
    """The parameters a run has."""
    query = "SELECT key, value FROM params WHERE run_uuid = ?"
    return dict(connection.execute(query, (run_id,)))


def artifact_uri(connection: sqlite3.Connection, run_id: str) -> str:
    """Where a run's artifacts are kept."""
    check_active(connection, run_id)
    query = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
    return str(connection.execute(query, (run_id,)).fetchone()[0])


def check_active(connection: sqlite3.Connection, run_id: str) -> None:
    """Raise GoneError for an unknown run, RefusedError for a deleted one."""
    query = "SELECT lifecycle_stage FROM runs WHERE run_uuid = ?"
    found = connection.execute(query, (run_id,)).fetchone()
    if found is None:
        raise GoneError(f"run {run_id} is not in the database")
    if found[0] != "active":
        raise RefusedError(f"run {run_id} is deleted: restore it in MLflow to deliver to it")


def _check_params(connection: sqlite3.Connection, run_id: str, new: dict[str, str]) -> None:
    held = params(connection, run_id) if new else {}
    for key, value in new.items():
        if held.get(key, value) != value:
            raise RefusedError(f"param {key!r} of run {run_id} is {held[key]!r}, not {value!r}")


def _stored(value: float) -> tuple[float, int]:
    """(value, is_nan) as MLflow stores them."""
    if math.isnan(value):
        return 0.0, 1
    return min(max(value, -_LARGEST), _LARGEST), 0

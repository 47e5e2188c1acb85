"""Runs as training would write them, and what a store then holds."""

import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from src.tracking.drain import drain
from src.tracking.pump import Pump
from src.tracking.record import RunRecord
from src.tracking.tracker import Status, Tracker


class Rows:
    """What a database holds, read past MLflow."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(sql, values).fetchall()

    def runs(self) -> list[tuple[str, str, str]]:
        """(run id, name, status)"""
        return self.query("SELECT run_uuid, name, status FROM runs ORDER BY start_time, name")

    def metrics(self, run_id: str, key: str) -> list[tuple[int, float, int]]:
        """(step, value, is_nan) by step."""
        return self.query(
            "SELECT step, value, is_nan FROM metrics WHERE run_uuid = ? AND key = ?"
            " ORDER BY step, timestamp",
            run_id,
            key,
        )

    def texts(self, table: str, run_id: str) -> dict[str, str]:
        return dict(self.query(f"SELECT key, value FROM {table} WHERE run_uuid = ?", run_id))


def losses(count: int, first: int = 1) -> np.ndarray:
    """Values that differ in every update, so that none can be taken for another."""
    return (1.0 / np.arange(first, first + count)).astype(np.float32)


def write_run(
    folder: Path,
    uri: str | None,
    *,
    epochs: int = 3,
    updates: int = 50,
    end: Status | None = "FINISHED",
    **record: Any,
) -> RunRecord:
    """A run as training would write it."""
    content = RunRecord(
        id=folder.name,
        name=f"run {folder.name}",
        tracking_uri=uri,
        **{"experiment": "research", **record},
    )
    content.claim(folder)
    tracker = Tracker(folder, content)
    tracker.begin()
    for epoch in range(1, epochs + 1):
        first = 1 + (epoch - 1) * updates
        tracker.updates(first, losses(updates, first), np.full(updates, 0.1, np.float32))
        tracker.metrics(epoch, {"train/loss": 1 / epoch, "val/loss": 2 / epoch})
    if end:
        tracker.end(end, "all epochs done", epochs * updates, epochs)
    else:
        tracker.close()
    return content


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def deliver(*folders: Path, uri: str | None = None, grace: float = 30, seconds: float = 60) -> str:
    """Deliver folders in this process; why something is left, or ""."""
    pump = Pump(report=lambda event: None)
    for folder in folders:
        pump.add(folder, uri, look_for_run=True)
    return drain(pump, time.monotonic() + seconds, grace, await_writers=False)


def exact_updates(count: int) -> list[tuple[int, float, int]]:
    """What `Rows.metrics` gives for update/loss of a run with `count` updates."""
    return [(step, float(value), 0) for step, value in enumerate(losses(count), start=1)]

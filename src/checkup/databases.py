"""MLflow's SQLite databases beside the folders: runs without a folder, drafts, locks that hang."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from src import locks
from src.checkup.finding import Examination, Finding
from src.checkup.place import DELIVERY_LOCK, Place
from src.tracking import late, process, sqlite_file, sqlite_rows
from src.tracking.outstanding import load_delivery
from src.tracking.record import FOLDER_TAG, ID_TAG

AGAIN_SECONDS = 60.0  # for one run
_RUNNING = """
SELECT run_uuid, coalesce(name, ''), start_time,
    (SELECT value FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = ?),
    (SELECT value FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = ?),
    (SELECT value FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'host')
FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active'
"""
_LAST_SIGN = "SELECT max(timestamp) FROM latest_metrics WHERE run_uuid = ?"


def examine(databases: Sequence[Path], places: Sequence[Place], into: Examination) -> None:
    """Look through the databases that the runs of a whole outputs folder are delivered to."""
    for database in databases:
        into.findings += _leftovers(database)
        into.findings += _hanging(sqlite_file.lock_path(database), database.name)
        if not database.exists():
            continue
        try:
            with closing(sqlite_rows.connect(database)) as connection:
                running = connection.execute(_RUNNING, (ID_TAG, FOLDER_TAG)).fetchall()
        except sqlite3.Error as error:
            into.notes.append(f"{database} was not looked into: {error}")
            continue
        for row in running:
            _examine_running(database, row, places, into)


def hanging_delivery(place: Place) -> Iterator[Finding]:
    """A delivery of this run that never goes on."""
    return _hanging(place.folder / DELIVERY_LOCK, place.name)


def _examine_running(
    database: Path, row: tuple[Any, ...], places: Sequence[Place], into: Examination
) -> None:
    run_id, name, started, identifier, folder, host = row
    if identifier is None:
        return  # not one of ours
    for place in places:
        if place.record.id == identifier:
            _examine_known(place, run_id, into)
            return
    if folder and (Path(folder) / "run.json").exists():
        return  # in another outputs folder
    shown = f"{database.name}, run {run_id} ({name})"
    if host not in (None, process.identity()["host"]):
        into.notes.append(f"{shown}: RUNNING, delivered from {host}; sync it there")
        return
    into.findings.append(
        Finding(
            database,
            f"running {run_id}",
            shown,
            f"RUNNING, but its folder is gone ({folder or 'unknown'})",
            "mark it KILLED",
            partial(_mark_killed, database, run_id, started),
        )
    )


def _examine_known(place: Place, run_id: str, into: Examination) -> None:
    """A run that its folder says was delivered to its end; the store was put back, say."""
    state = load_delivery(place.folder)
    ended = place.journal is not None and place.journal.end is not None
    if ended and state.get("status") == "delivered" and state.get("run_id") == run_id:
        into.findings.append(
            Finding(
                place.folder,
                "status",
                place.name,
                f"delivered to its end as {run_id}, which is RUNNING in the store all the same",
                "deliver it again from its start",
                partial(late.deliver, [place.folder], AGAIN_SECONDS, again=True),
            )
        )


def _mark_killed(database: Path, run_id: str, started: int) -> None:
    from src.tracking.store import StoreError, open_store  # imports MLflow

    with closing(sqlite_rows.connect(database)) as connection:
        (last,) = connection.execute(_LAST_SIGN, (run_id,)).fetchone()
    try:
        store = open_store(f"sqlite:///{database}")
        store.set_status(run_id, "KILLED", last or started)
        store.flush()
    except StoreError as error:
        raise OSError(str(error)) from error


def _leftovers(database: Path) -> Iterator[Finding]:
    """Databases half made by processes that were killed, and a lock of none."""
    lock = sqlite_file.lock_path(database)
    left = sqlite_file.drafts(database)
    if lock.exists() and not database.exists():
        left.append(lock)
    if left and not (lock.exists() and locks.taken(lock)):
        yield Finding(
            database,
            "drafts",
            database.name,
            f"left behind by an interrupted set-up: {', '.join(path.name for path in left)}",
            "remove them",
            partial(_remove, lock, left),
        )


def _remove(lock: Path, left: list[Path]) -> None:
    with locks.locked(lock, 1.0):
        for path in left:
            path.unlink(missing_ok=True)


def _hanging(lock: Path, name: str) -> Iterator[Finding]:
    """A lock is released when its process ends; only one that is stopped keeps it for ever."""
    for pid in locks.holders(lock):
        if process.stopped(pid):
            yield Finding(
                lock,
                "lock",
                name,
                f"{lock.name} is held by process {pid}, which is stopped (SIGSTOP, Ctrl-Z)",
                f"let it go on (kill -CONT {pid}) or end it (kill -KILL {pid})",
            )

"""MLflow's SQLite database: made whole before it is visible, written by one process at a time.

Several processes that use one new database at once break MLflow's own set-up (8 of 9 starts
failed), and half a database stays behind when one is killed in it. So it is made beside, under a
lock, and appears under its name by one link.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from src import crash_points
from src.locks import locked

PREPARE_SECONDS = 120.0  # making a database takes 1.7 s, much more on a loaded machine
_DRAFT = ".new"
LOCK_SECONDS = 1.0  # how long one attempt to write waits for other writers


def path_of(uri: str) -> Path | None:
    """The database file of a `sqlite:///` URI, absolute; None for every other store."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(name).absolute() if name and name != ":memory:" else None


def absolute_uri(uri: str) -> str:
    """`uri` with a relative database path made absolute."""
    path = path_of(uri)
    return uri if path is None else f"sqlite:///{path}"


def artifact_root(database: Path) -> Path:
    """Where artifacts of runs in `database` are kept."""
    return database.parent / "mlartifacts"


def prepare(database: Path) -> None:
    """Make `database` if it isn't there. OSError, TimeoutError: it can't be made."""
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_path(database), PREPARE_SECONDS):
        if database.exists():
            return
        draft = database.with_name(f".{database.name}.{os.getpid()}{_DRAFT}")
        for abandoned in drafts(database):  # by one that was killed
            abandoned.unlink(missing_ok=True)
        try:
            _create(draft, artifact_root(database))
            crash_points.passing("store.drafted")
            try:
                os.link(draft, database)
            except PermissionError:  # a file system without hard links
                draft.rename(database)
            crash_points.passing("store.linked")
        finally:
            _remove(draft)


@contextmanager
def writing(database: Path) -> Iterator[None]:
    """Be the only shipper that writes; TimeoutError when the database is locked by anyone.

    MLflow itself would wait 20 s inside one call, deaf to commands.
    """
    try:
        with locked(lock_path(database), LOCK_SECONDS):
            existing = f"{database.as_uri()}?mode=rw"
            with closing(sqlite3.connect(existing, timeout=LOCK_SECONDS, uri=True)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
            yield
    except sqlite3.OperationalError as error:
        raise TimeoutError(f"{database}: {error}") from None


def drafts(database: Path) -> list[Path]:
    """What is being made into `database`, or was when its process was killed."""
    return sorted(database.parent.glob(f".{database.name}.*{_DRAFT}*"))


def _create(database: Path, root: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{database}", root.as_uri())
    store.engine.dispose()


def _remove(database: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def lock(database: Path, timeout_seconds: float) -> AbstractContextManager[None]:
    """Keep other shippers from writing; they would all wait for one another inside SQLite."""
    return locked(lock_path(database), timeout_seconds)


def lock_path(database: Path) -> Path:
    """The file that shippers lock; it stays, as removing a lock's file would break the lock."""
    return database.with_name(f".{database.name}.lock")

"""A SQLite store whose tables are known: many runs in one transaction.

What is written counts only after `flush`; until then `after` keeps back what must not be said
before. Everything that needs MLflow's own way (experiments, models, artifacts that are not kept in
local files) flushes first, as it uses a connection of its own.
"""

import shutil
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from src import crash_points
from src.tracking import sqlite_file, sqlite_rows
from src.tracking.record import ID_TAG
from src.tracking.store import Store, StoreError

LARGEST_BATCH = 5000  # metrics, 40 ms
OPEN_SECONDS = 0.5  # how long a transaction may keep others from writing


class SqliteStore(Store):
    """See `Store`; every method works within one transaction, open from the first write on."""

    largest_batch = LARGEST_BATCH

    def __init__(self, uri: str, database: Path) -> None:
        super().__init__(uri, database)
        with self._errors():
            self._connection = sqlite_rows.connect(database)
        self._database: Path = database
        self._open = ExitStack()  # the lock, while a transaction is open
        self._since: float | None = None
        self._after: dict[Hashable, Callable[[], None]] = {}

    def after(self, key: Hashable, action: Callable[[], None]) -> None:
        """Call `action` once what was written so far is safe; only the last one of each key."""
        if self._since is None:
            action()
        else:
            self._after[key] = action

    def flush(self) -> None:
        """Make what was written safe. Raises StoreError: nothing of it counts."""
        if self._since is None:
            return
        crash_points.passing("store.commit")
        with self._rows():
            self._connection.execute("COMMIT")
        crash_points.passing("store.committed")
        actions, self._after = list(self._after.values()), {}
        self._close_transaction()
        for action in actions:
            action()

    @property
    def due(self) -> bool:
        """See `Store`."""
        return self._since is not None and time.monotonic() - self._since > OPEN_SECONDS

    def abandon(self) -> None:
        """Forget what was written since the last flush."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._after.clear()
        self._close_transaction()

    def experiment(self, name: str) -> str:
        """See `Store`."""
        if name not in self._experiments:
            self.flush()
        return super().experiment(name)

    def find_run(self, experiment_id: str, harness_id: str) -> str | None:
        """See `Store`."""
        with self._rows():
            return sqlite_rows.find_run(self._connection, experiment_id, ID_TAG, harness_id)

    def create_run(self, experiment_id: str, name: str, created: int, tags: dict[str, str]) -> str:
        """See `Store`."""
        with self._transaction():
            return sqlite_rows.create_run(self._connection, experiment_id, name, created, tags)

    def params(self, run_id: str) -> dict[str, str]:
        """See `Store`."""
        with self._rows():
            return sqlite_rows.params(self._connection, run_id)

    def log(
        self,
        run_id: str,
        metrics: list[sqlite_rows.Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """See `Store`."""
        with self._transaction():
            sqlite_rows.log(self._connection, run_id, metrics or [], params or {}, tags or {})

    def log_dataset(self, run_id: str, record: dict[str, Any], context: str = "training") -> None:
        """See `Store`."""
        with self._transaction():
            dataset = self.dataset(record)
            sqlite_rows.log_dataset(self._connection, run_id, dataset, context)

    def set_status(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """See `Store`."""
        with self._transaction():
            sqlite_rows.set_status(self._connection, run_id, status, end_time)

    def upload(self, run_id: str, path: Path, folder: str | None) -> None:
        """See `Store`. A local file appears whole."""
        with self._rows():
            root = _local(sqlite_rows.artifact_uri(self._connection, run_id))
            if root is not None:
                target = root / (folder or "") / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                # Always the same name, so that what a killed process left is not there for ever.
                draft = target.with_name(f".{target.name}.draft")
                shutil.copyfile(path, draft)
                crash_points.passing("upload.drafted")
                draft.replace(target)
                crash_points.passing("upload.renamed")
                return
        self.flush()
        super().upload(run_id, path, folder)

    def open_model(
        self,
        experiment_id: str,
        run_id: str,
        name: str,
        tags: dict[str, str],
        params: dict[str, str],
    ) -> tuple[str, str]:
        """See `Store`."""
        self.flush()
        return super().open_model(experiment_id, run_id, name, tags, params)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._rows():
            if self._since is None:
                lock = sqlite_file.lock(self._database, sqlite_rows.BUSY_SECONDS)
                self._open.enter_context(lock)
                self._connection.execute("BEGIN IMMEDIATE")
                self._since = time.monotonic()
            yield

    @contextmanager
    def _rows(self) -> Iterator[None]:
        try:
            with self._errors():
                yield
        except StoreError:
            self.abandon()
            raise

    def _close_transaction(self) -> None:
        self._since = None
        self._open.close()


def _local(uri: str) -> Path | None:
    """The folder of an artifact URI that is kept in local files."""
    parts = urlsplit(uri)
    if parts.scheme == "":
        return Path(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None

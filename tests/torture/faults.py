"""Stores that fail: the run trains on, says what is undelivered, and is delivered later."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from src.tracking import journal
from tests.torture.bench import TINY, Bench, runs
from tests.torture.facts import differences, facts, undelivered
from tests.tracking.faults import FaultyProxy, once_each
from tests.tracking.runs import free_port
from tests.tracking.server import Server, serving

WORDS = (*TINY, "epochs=20", "tracking.wait_seconds=2")
SLACK_SECONDS = 30  # a busy machine's; a run that waits for a store that hangs takes longer

# Name to the fault of a path, and whether the end of the run is still without delivery.
PROXIED: dict[str, tuple[Callable[[str], str | None], bool]] = {
    "hanging": (lambda path: "hang", True),
    "answering 500": (lambda path: "500", True),
    "answering 503": (lambda path: "503", True),
    "wrong credentials (401)": (lambda path: "401", True),
    "connection cut after each commit": (lambda path: "cut", True),
    "half of each answer": (lambda path: "half", True),
}
ONCE = {
    "connection cut after the first commit of each kind": "cut",
    "500 to the first request of each kind": "500",
}


class Faults:
    """Trials against one real server, started when first asked for."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._open_in = contextlib.ExitStack()
        self._server: Server | None = None
        self.reference = bench.reference(*WORDS)
        self.seconds = _training_seconds(self.reference.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open_in.close()

    @property
    def server(self) -> Server:
        """A real MLflow server."""
        if self._server is None:
            folder = self.bench.folder / "server"
            self._server = self._open_in.enter_context(serving(folder, self.bench.database))
        return self._server

    def proxied(self, name: str) -> list[str]:
        """A server that fails all the time until the run has ended."""
        fault, left = PROXIED[name]
        with FaultyProxy(self.server.address, fault) as proxy:
            return self._trial(proxy.address, left, lambda: setattr(proxy, "fault", _none))

    def once(self, name: str) -> list[str]:
        """A server that fails once for each kind of request."""
        with FaultyProxy(self.server.address, once_each(ONCE[name])) as proxy:
            return self._trial(proxy.address, None, lambda: None)

    def refused(self) -> list[str]:
        """Nobody listens."""
        return self._trial(f"http://127.0.0.1:{free_port()}", True, lambda: None, elsewhere=True)

    def killed(self) -> list[str]:
        """The shipper is killed after the server's answer, before its cursor advances."""
        return self._trial(
            self.server.address, True, lambda: None, crash="delivery.answered:2", victim="shipper"
        )

    def locked(self, seconds: float) -> list[str]:
        """The SQLite database is locked while the run trains, and so long in all."""
        outputs = self.bench.outputs()
        with self.bench.clean(outputs):
            released = threading.Event()
            holder = threading.Thread(target=_lock, args=(outputs / "mlflow.db", seconds, released))
            holder.start()
            ended = self.bench.train(outputs, *WORDS)
            left = None if released.is_set() else True  # a slow run may outlast the lock
            problems = self._ended(outputs, ended.code, ended.said, left)
            holder.join()
            if not released.is_set():
                problems.append("the database was not locked")
            return problems + self.bench.compare(outputs, self.reference)

    def _trial(
        self,
        uri: str,
        left: bool | None,
        lift: Callable[[], None],
        *,
        elsewhere: bool = False,
        **given: object,
    ) -> list[str]:
        outputs = self.bench.outputs(database=False)
        with self.bench.clean(outputs):
            ended = self.bench.train(outputs, *WORDS, f"tracking.uri={uri}", **given)
            problems = self._ended(outputs, ended.code, ended.said, left)
            lift()
            words = [f"outputs={outputs}", "timeout=60"]
            if elsewhere:
                words.append(f"uri={self.server.address}")
            synced = self.bench.sync(*words)
            if synced.code != 0:
                return [*problems, f"sync exits with {synced.code}: {synced.said[-600:]}"]
            for run in runs(outputs):
                problems += undelivered(run, self.server.database, self.server.artifacts)
            return problems

    def _ended(self, outputs: Path, code: int, said: str, left: bool | None) -> list[str]:
        """What is wrong with how the run ended, while its store failed."""
        if code != 0:
            return [f"the run exits with {code}: {said[-600:]}"]
        [run] = runs(outputs)
        problems = differences(facts(run), self.reference.facts)
        if left is not None and ("undelivered" in said) != left:
            problems.append(f"what is said of the delivery: {said[-300:]}")
        seconds = _training_seconds(run)
        if seconds > 2 * self.seconds + SLACK_SECONDS:
            problems.append(f"it trained for {seconds:.1f} s, not {self.seconds:.1f} s")
        return problems


def _none(path: str) -> str | None:
    return None


def _training_seconds(run: Path) -> float:
    """From the beginning to the last epoch's results, by the journal's own clock."""
    times = {line["kind"]: line["t"] for _, line in journal.read(run / journal.FILE_NAME)}
    begins = [
        line["t"] for _, line in journal.read(run / journal.FILE_NAME) if line["kind"] == "begin"
    ]
    return float(times["updates"] - begins[0]) / 1000


def _lock(database: Path, seconds: float, released: threading.Event) -> None:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    released.set()


def section(bench: Bench, lock_seconds: float) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, 1, what is wrong) of each fault."""
    with Faults(bench) as faults:
        trials: dict[str, Callable[[], list[str]]] = {"nobody listens": faults.refused}
        trials |= {name: partial(faults.proxied, name) for name in PROXIED}
        trials |= {name: partial(faults.once, name) for name in ONCE}
        trials["shipper killed in the middle of a batch"] = faults.killed
        trials[f"SQLite locked for {lock_seconds:g} s"] = lambda: faults.locked(lock_seconds)
        for name, trial in trials.items():
            yield f"store fails: {name}", 1, trial()

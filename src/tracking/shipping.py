"""The trainer's handle on the shipper process. Imports no MLflow; starting it costs one Popen.

Nothing here waits for the store or raises because of it, except `finish`, which waits as long as it
is told to and then says what is undelivered.
"""

import contextlib
import dataclasses
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from src.tracking.children import run_of
from src.tracking.outstanding import load_delivery, outstanding

_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package `src`


@dataclass
class RunDelivery:
    """What became of one folder. undelivered: see `outstanding`; empty when delivered."""

    folder: str
    delivered: bool = False
    run_id: str | None = None
    undelivered: dict[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass
class Delivery:
    """What became of all folders of a shipper.

    run_id: the first shipped folder's. undelivered: sums over `runs`. error: the first one's text.
    going_on: the process was left to deliver the rest.
    """

    delivered: bool
    run_id: str | None
    undelivered: dict[str, int]
    error: str | None
    runs: dict[str, RunDelivery]
    going_on: bool = False


class ShipperProcess:
    """`python -m src.tracking.shipper` in a session of its own, fed with commands over a pipe."""

    def __init__(
        self, process: subprocess.Popen[bytes] | None, log: IO[bytes], failure: str
    ) -> None:
        self._process = process
        self._log = log
        self._failure = failure  # why the process could not be started, or ""
        self._pending = bytearray()
        self._folders: list[str] = []
        self._watched: list[str] = []
        self._events: dict[str, dict[str, Any]] = {}  # folder -> the latest event's fields
        self._finished = threading.Event()
        self._tracking_uri = ""
        self.prepared = threading.Event()
        if process is not None:
            assert process.stdin is not None
            os.set_blocking(process.stdin.fileno(), False)
            threading.Thread(target=self._listen, name="shipper events", daemon=True).start()

    @classmethod
    def start(cls, tracking_uri: str) -> "ShipperProcess":
        """Start the process; it imports MLflow on its own while the caller goes on."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        environment = dict(os.environ)
        paths = [str(_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        process, failure = None, ""
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "src.tracking.shipper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C on the terminal is the trainer's alone
            )
        except OSError as error:
            failure = f"the shipper process could not be started: {error}"
        handle = cls(process, log, failure)
        handle._tracking_uri = tracking_uri
        return handle

    @property
    def pid(self) -> int | None:
        """The shipper's process id, None when it could not be started."""
        return self._process.pid if self._process else None

    def prepare(self, pictures: bool = True) -> None:
        """Have the store made ready (a new SQLite database takes seconds) and all code imported."""
        self._send("prepare", self._tracking_uri)
        if pictures:
            self._send("draw")

    def ship(self, folder: Path) -> None:
        """Deliver the run (or sweep) in `folder` from now until it ends."""
        self._folders.append(str(Path(folder).absolute()))
        self._send("ship", self._folders[-1])

    def watch(self, folder: Path) -> None:
        """Deliver every child folder of `folder` that holds or will hold a run."""
        self._watched.append(str(Path(folder).absolute()))
        self._send("watch", self._watched[-1])

    def run_id(self, folder: Path) -> str | None:
        """MLflow's run id of `folder`, None while it isn't known."""
        known = self._events.get(str(Path(folder).absolute()), {}).get("run_id")
        return known or load_delivery(Path(folder)).get("run_id")

    def finish(self, timeout_seconds: float, *, goes_on_for: float = 0.0) -> Delivery:
        """Wait until all is delivered, at most `timeout_seconds`. Never raises.

        A store that can't be reached is given up after a few seconds, not after the whole time.

        goes_on_for: seconds that the process may deliver beyond that, after the caller has gone;
            without them it is ended here.
        """
        deadline = time.monotonic() + timeout_seconds
        self._send("finish", f"{timeout_seconds + goes_on_for:g}")
        self._flush(deadline)
        if self._process is not None:
            grace = 0.0 if goes_on_for else 1.0
            self._finished.wait(max(deadline - time.monotonic(), 0) + grace)
        if goes_on_for and not self._finished.is_set():
            return dataclasses.replace(self._summary(""), going_on=True)
        return self._summary(self._stop())

    def _summary(self, died: str) -> Delivery:
        folders = dict.fromkeys(self._folders)
        for watched in self._watched:
            with contextlib.suppress(OSError):
                for child in sorted(Path(watched).iterdir()):
                    folder = run_of(child)
                    if folder is not None:
                        folders[str(folder)] = None
        runs = {folder: self._folder_result(folder, died) for folder in folders}
        undelivered: Counter[str] = Counter()
        for run in runs.values():
            undelivered.update(run.undelivered)
        errors = [run.error for run in runs.values() if run.error]
        first = runs[self._folders[0]].run_id if self._folders else None
        return Delivery(
            delivered=all(run.delivered for run in runs.values()),
            run_id=first,
            undelivered=dict(undelivered),
            error=errors[0] if errors else (died or None),
            runs=runs,
        )

    def _folder_result(self, folder: str, died: str) -> RunDelivery:
        stored = load_delivery(Path(folder))
        event = self._events.get(folder, {})
        delivered = stored.get("status") == "delivered"
        left = {} if delivered else outstanding(Path(folder))
        error = None if delivered else stored.get("error") or event.get("error") or died
        if not delivered and not error:
            error = "time ran out before everything was delivered"
        run_id = stored.get("run_id") or event.get("run_id")
        return RunDelivery(folder, delivered, run_id, left, error)

    def _stop(self) -> str:
        """End the process; returns why it died if it did so by itself, else ""."""
        if self._process is None:
            return self._failure
        process = self._process
        try:
            status: int | None = process.wait(timeout=2.0 if self._finished.is_set() else 0.2)
        except subprocess.TimeoutExpired:
            process.kill()  # safe at any instant: the cursor advances after the store's answer
            process.wait()
            status = None
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        text = ""
        if status not in (0, None):
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            text = f"the shipper process ended with status {status}" + (
                f": {lines[-1][:500]}" if lines else ""
            )
        self._log.close()
        return text

    def _send(self, *words: str) -> None:
        self._pending += " ".join(words).encode() + b"\n"
        self._flush(0.0)

    def _flush(self, deadline: float) -> None:
        """Write what the pipe takes; waits for room until `deadline` (0: not at all)."""
        if self._process is None or self._process.stdin is None:
            return
        descriptor = self._process.stdin.fileno()
        while self._pending:
            try:
                del self._pending[: os.write(descriptor, self._pending)]
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                with selectors.DefaultSelector() as selector:
                    selector.register(descriptor, selectors.EVENT_WRITE)
                    selector.select(left)
            except (OSError, ValueError):  # the shipper died: said at finish
                self._pending.clear()

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for raw in stream:
                try:
                    event = json.loads(raw)
                except ValueError:
                    continue
                if event.get("event") == "prepared":
                    self.prepared.set()
                elif event.get("event") == "finished":
                    self._finished.set()
                elif "folder" in event:
                    self._events.setdefault(event["folder"], {}).update(event)
        self._finished.set()

"""Many folders on their way into their stores, a batch of each in turn.

A store that fails is left alone for a while (exponential back-off); folders of other stores go on.
What can't succeed in this process is noted in the folder's delivery.json and dropped.
"""

import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.tracking import closing
from src.tracking.children import run_of
from src.tracking.delivery import FolderBusyError, FolderDelivery
from src.tracking.journal import JournalDamagedError
from src.tracking.store import Store, StoreError, open_store

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
QUEUE_SECONDS = 60.0  # dozens of shippers may be waiting for one database
QUEUE_PAUSES = (0.05, 0.3)
STEPS = 8  # batches of one folder before it is the next one's turn
STALE_SECONDS = 2.0
ASK_SECONDS = 0.5  # between two questions after one writer

Report = Callable[[dict[str, Any]], None]


@dataclass
class Gate:
    """A store and how it has been answering. Times in seconds of the monotonic clock."""

    uri: str
    store: Store | None = None
    pause: float = 0.0
    retry_at: float = 0.0
    failing_since: float | None = None
    queued_since: float | None = None
    error: str = ""
    failed_at: set[str] = field(default_factory=set)  # requests, since it last took something
    touched: list[FolderDelivery] = field(default_factory=list)  # since the last flush

    def open(self) -> Store:
        """The store, connected. Raises StoreError."""
        if self.store is None:
            self.store = open_store(self.uri)
        return self.store

    def succeeded(self) -> None:
        """The store took something."""
        self.pause, self.failing_since, self.queued_since, self.error = 0.0, None, None, ""
        self.failed_at.clear()

    def queued(self, error: str) -> None:
        """Another process delivers to it: that is no failure, unless its turn never ends."""
        now = time.monotonic()
        self.queued_since = self.queued_since or now
        if now - self.queued_since > QUEUE_SECONDS:
            self.failed(error)
            return
        self.retry_at = now + random.uniform(*QUEUE_PAUSES)
        self.error = error

    def failed(self, error: str) -> None:
        """The store did not answer as it should: leave it alone for a while."""
        now = time.monotonic()
        request = _request_of(error)
        if request not in self.failed_at:  # it took what came before: it fails anew, not still
            self.failed_at.add(request)
            self.pause, self.failing_since = 0.0, None
        self.pause = min(max(self.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        self.retry_at = now + self.pause * random.uniform(0.7, 1.3)
        self.failing_since = self.failing_since or now
        self.error = error


def _request_of(error: str) -> str:
    """The address of the request that failed, "" where the message has none."""
    found = re.search(r"(?:https?://|endpoint )\S+", error)
    return found[0] if found else ""


@dataclass
class _Writer:
    """What is known of the process that writes a journal of `size` bytes, unchanged `since`."""

    size: int = -1
    since: float = 0.0
    asked: float = -math.inf
    alive: bool | None = None


@dataclass
class Pump:
    """report: told what is worth telling, as {"event": ..., "folder": ...}."""

    report: Report
    gates: dict[str, Gate] = field(default_factory=dict)
    active: dict[Path, FolderDelivery] = field(default_factory=dict)
    waiting: dict[Path, str] = field(default_factory=dict)  # can't be taken on yet, and why
    finished: dict[Path, bool] = field(default_factory=dict)  # whether it was delivered
    _careful: set[Path] = field(default_factory=set)  # a step at a time, after a failure
    _reported: dict[Path, str] = field(default_factory=dict)  # run ids told
    _sweeps: list[Path] = field(default_factory=list)
    _children: set[Path] = field(default_factory=set)  # of the sweeps, whose runs are taken on
    _writers: dict[Path, _Writer] = field(default_factory=dict)

    def prepare(self, uri: str) -> None:
        """Connect to the store, making its database if need be; a failure is tried again later."""
        gate = self._gate(uri)
        try:
            gate.open().warm_up()
            self.report({"event": "prepared"})
        except StoreError as error:
            self._fail(gate, [], error)

    def add(self, folder: Path, uri: str | None = None, look_for_run: bool = False) -> None:
        """Take on the delivery of `folder`; one that can't be taken on yet is tried again."""
        if folder in self.active:
            return
        self.finished.pop(folder, None)
        try:
            delivery = FolderDelivery(folder, uri, look_for_run)
        except (FolderBusyError, UserError, OSError) as error:
            self.waiting[folder] = str(error)
            return
        self.waiting.pop(folder, None)
        if delivery.uri is None:
            delivery.close()
            self.finished[folder] = True
        else:
            self.active[folder] = delivery

    def watch(self, sweep: Path) -> None:
        """Take on the run of every child of `sweep`, now and later."""
        self._sweeps.append(sweep)

    def look(self) -> None:
        """Notice new folders, and how far journals have grown: the goal of the next turns."""
        for folder in list(self.waiting):
            self.add(folder)
        for sweep in self._sweeps:
            try:
                children = sorted(sweep.iterdir())
            except OSError:
                continue
            for child in children:
                run = None if child in self._children else run_of(child)
                if run is not None:
                    self._children.add(child)
                    if not (run in self.active or run in self.finished or run in self.waiting):
                        self.add(run)
        for delivery in self.active.values():
            delivery.goal = delivery.size()

    def turn(self) -> bool:
        """Deliver a part of every folder that has news; False when nothing could be done."""
        progress = False
        for folder, delivery in list(self.active.items()):
            gate = self._gate(delivery.uri or "")
            if time.monotonic() >= gate.retry_at:
                progress = self._turn(folder, delivery, gate) or progress
                if gate.store is not None and gate.store.due:
                    self._flush(gate)
        for gate in self.gates.values():
            self._flush(gate)
        return progress

    def close_dead(self, stale_seconds: float = STALE_SECONDS) -> bool:
        """End the runs whose process is gone without having ended them; True if there was one.

        stale_seconds: how long a journal must have stood still before its writer is asked after.
        """
        closed = False
        now = time.monotonic()
        for folder, delivery in self.active.items():
            writer = self._writers.setdefault(folder, _Writer())
            size = delivery.size()
            if size != writer.size:
                writer.size, writer.since = size, now
            if size and now - writer.since >= stale_seconds and now - writer.asked >= ASK_SECONDS:
                writer.asked = now
                try:
                    writer.alive = closing.writer_alive(folder, delivery.record)
                    closed = (writer.alive is False and closing.close(folder)) or closed
                except (OSError, UserError):
                    writer.alive = None
        return closed

    def writers_alive(self) -> bool:
        """Some run is still being written, as far as `close_dead` found out."""
        return any(
            writer.alive and self.active[folder].size() for folder, writer in self._writers.items()
        )

    def outage(self, grace: float) -> str:
        """Why nothing moves: every store still needed has been failing for `grace` seconds."""
        uris = {d.uri for d in self.active.values() if d.goal > d.state["cursor"]}
        gates = [self.gates[uri] for uri in uris if uri in self.gates]
        failing = [
            gate.error
            for gate in gates
            if gate.failing_since is not None and time.monotonic() - gate.failing_since >= grace
        ]
        return failing[0] if gates and len(failing) == len(gates) else ""

    def failing(self) -> bool:
        """Some store that is still needed fails, but may come back, or others are using it."""
        return any(
            self._gate(delivery.uri).error
            for delivery in self.active.values()
            if delivery.uri is not None and delivery.goal > delivery.state["cursor"]
        )

    def close(self, error: str = "") -> None:
        """Let go of all folders, noting `error` with those that are not delivered."""
        for delivery in self.active.values():
            if error and not delivery.delivered:
                self._note(delivery, error=error)
            delivery.close()
        self.active.clear()

    def _turn(self, folder: Path, delivery: FolderDelivery, gate: Gate) -> bool:
        """Some steps of one folder, to be made safe together with those of others."""
        careful = folder in self._careful
        if careful:
            self._flush(gate)
        progress = False
        before = delivery.reached
        try:
            store = gate.open()
            gate.touched.append(delivery)
            for _ in range(1 if careful else STEPS):
                result = delivery.advance(store)
                progress = progress or result != "waiting"
                if result != "progress":
                    break
        except StoreError as error:
            self._undo(gate)
            if error.permanent:
                return self._refused(folder, delivery, error)
            if delivery.reached != before:  # it took some of it: it fails anew, not still
                gate.succeeded()
            self._fail(gate, [delivery], error)
            return False
        except (JournalDamagedError, OSError, ValueError, KeyError, TypeError) as error:
            self._undo(gate)
            return self._refused(folder, delivery, error)
        if not progress:
            gate.touched.pop()
        elif careful:
            self._flush(gate)
        return progress

    def _refused(self, folder: Path, delivery: FolderDelivery, error: Exception) -> bool:
        """What to do about a step that can't be taken; False when the folder is dropped.

        The steps before it were taken back with it: they are taken again one by one first.
        """
        if isinstance(error, StoreError) and error.gone and delivery.begin_anew():
            return True
        if folder not in self._careful:
            self._careful.add(folder)
            return True
        text = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        self._note(delivery, status="failed", error=text)
        self.report({"event": "error", "folder": str(folder), "error": text[:1000]})
        self._finish(folder, delivery, False)
        return False

    def _flush(self, gate: Gate) -> None:
        """Make safe what was delivered; what doesn't become safe is delivered again."""
        if gate.store is None or not gate.touched:
            return
        try:
            gate.store.flush()
        except StoreError as error:
            touched = list(gate.touched)
            self._undo(gate)
            self._fail(gate, touched, error)
            return
        gate.succeeded()
        for delivery in gate.touched:
            folder = delivery.folder
            event = {"folder": str(folder), "run_id": delivery.run_id}
            if delivery.run_id not in (None, self._reported.get(folder)):
                self._reported[folder] = str(delivery.run_id)
                self.report({"event": "run", **event})
            if delivery.delivered and folder in self.active:
                self.report({"event": "delivered", **event})
                self._finish(folder, delivery, True)
        gate.touched.clear()

    def _undo(self, gate: Gate) -> None:
        if gate.store is not None:
            gate.store.abandon()
        for delivery in gate.touched:
            delivery.reload()
        gate.touched.clear()

    def _fail(self, gate: Gate, deliveries: list[FolderDelivery], error: StoreError) -> None:
        if error.queued:
            gate.queued(str(error))
            return
        gate.failed(str(error))
        for delivery in deliveries:
            self._note(delivery, error=str(error))

    def _finish(self, folder: Path, delivery: FolderDelivery, delivered: bool) -> None:
        delivery.close()
        del self.active[folder]
        self._reported.pop(folder, None)
        self._careful.discard(folder)
        self._writers.pop(folder, None)
        self.finished[folder] = delivered

    def _note(self, delivery: FolderDelivery, **changes: Any) -> None:
        try:
            delivery.note(**changes)
        except OSError as error:  # a full disk, a folder that was removed
            text = f"delivery.json can't be written: {error}"
            self.report({"event": "error", "folder": str(delivery.folder), "error": text})

    def _gate(self, uri: str) -> Gate:
        return self.gates.setdefault(uri, Gate(uri))

"""The shipper process: `python -m src.tracking.shipper`, started and fed by `shipping.py`.

Commands are lines on standard input:
    prepare URI      connect to the store, making its database if need be
    draw             import what pictures take
    ship FOLDER      deliver this run until it ends
    watch FOLDER     deliver every child run of this sweep
    finish SECONDS   deliver what is left, for at most so long, then exit
The end of the input without `finish` means that the trainer is gone: the rest is delivered, runs
without an end are closed as what they are, then it exits. Events are JSON lines on standard output.
"""

import importlib
import json
import math
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

LOOK_SECONDS = 1.0  # how often journals are looked at while training
NICENESS = 15  # 3 % of a processor that training wants too; at 19 a run takes minutes to appear
PARENT_SECONDS = 2.0  # how often the trainer is looked after
ORPHAN_GRACE = 60.0  # how long a failing store is tried again once the trainer is gone


class Commands:
    """Standard input, read without ever blocking longer than asked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._parent = os.getppid()
        self.ended = False

    def wait(self, seconds: float) -> list[list[str]]:
        """[[command, argument], ...] that arrived within `seconds`."""
        if self.ended:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if ready:
            data = os.read(self._descriptor, 1 << 16)
            self._buffer += data
            self.ended = not data
        elif os.getppid() != self._parent:
            self.ended = True  # another process still holds the pipe, but the trainer is gone
        *lines, self._buffer = self._buffer.split(b"\n")
        return [line.decode(errors="replace").split(" ", 1) for line in lines if line]


class Events:
    """Standard output, kept for events alone: what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._descriptor = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        os.set_blocking(self._descriptor, False)

    def report(self, event: dict[str, Any]) -> None:
        """Write an event for the trainer; whether it reads or still lives doesn't matter."""
        with suppress(OSError):  # a line within a pipe's atomic size is written whole or not
            os.write(self._descriptor, json.dumps(event).encode()[:4000] + b"\n")


def main() -> None:
    """Serve commands until the trainer waits or is gone, then deliver what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    events = Events()
    from src.tracking.drain import FINISH_GRACE, drain
    from src.tracking.pump import Pump  # imports MLflow: more than a second

    pump = Pump(events.report)
    meanwhile = Meanwhile(pump)
    commands = Commands(sys.stdin.fileno())
    patience = math.inf  # how long the trainer waits, in seconds
    while patience == math.inf and not commands.ended:
        for command, *rest in commands.wait(PARENT_SECONDS):
            if command == "finish":
                patience = float(rest[0])
                break
            with meanwhile.lock:
                if command == "prepare":
                    pump.prepare(*rest)
                elif command == "draw":
                    importlib.import_module("src.tracking.pictures")
                elif command == "ship":
                    pump.add(Path(rest[0]))
                    pump.turn()  # the run is there at once, however busy the training
                elif command == "watch":
                    pump.watch(Path(rest[0]))
            if command in ("ship", "watch"):
                meanwhile.begin()
    orphaned = patience == math.inf
    deadline = time.monotonic() + patience
    meanwhile.end()
    drain(pump, deadline, ORPHAN_GRACE if orphaned else FINISH_GRACE, await_writers=orphaned)
    events.report({"event": "finished"})
    os._exit(0)  # all is on disk; tearing MLflow down would cost the trainer 0.1 s


class Meanwhile(threading.Thread):
    """Delivers while the training goes on, taking only what that leaves of the processors.

    A thread, because what is made modest can't become eager again, and the main thread has to be
    when the trainer waits.
    """

    def __init__(self, pump: Any) -> None:
        super().__init__(name="meanwhile", daemon=True)
        self.lock = threading.Lock()  # held by whoever uses the pump
        self._pump = pump
        self._stop_asked = threading.Event()

    def begin(self) -> None:
        """Start, unless it has started already."""
        if not self.is_alive():
            self.start()

    def end(self) -> None:
        """Stop after the batch that is under way; the pump belongs to the caller from then on."""
        self._stop_asked.set()
        _set_session_niceness(0)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Deliver a batch of each folder, then look at the journals anew."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        _set_session_niceness(NICENESS)
        progress = False
        while not self._stop_asked.wait(0.0 if progress else LOOK_SECONDS):
            with self.lock:
                progress = self._pump.turn()
                if not progress:
                    self._pump.look()
                    self._pump.close_dead()


def _set_session_niceness(nice: int) -> None:
    """Linux may share processors out by session: a thread's niceness then counts inside it only."""
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")


if __name__ == "__main__":
    main()

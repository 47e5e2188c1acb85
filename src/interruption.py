"""Ctrl-C and SIGTERM: the first asks training to save and stop, the second leaves at once."""

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.run import Run

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Training stopped because of a signal, with its checkpoint written.

    Attributes:
        runs: those that were training, closed as KILLED.
        exit_code: of the process.
    """

    def __init__(self, signal_number: int, runs: Sequence["Run"]) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number
        self.runs = runs


class Interruption:
    """While open, remembers a signal instead of letting it end the process.

    Attributes:
        signal: the number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._came = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def request(self, number: int) -> None:
        """Do what the first signal does, because it reached another process of this run."""
        self.signal = self.signal or number

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            os._exit(128 + number)
        self._came = True
        self.request(number)

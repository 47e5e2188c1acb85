"""Delivering runs after their training, in the calling process."""

import time
from collections.abc import Iterable
from pathlib import Path


def deliver(
    folders: Iterable[Path], seconds: float, uri: str | None = None, *, again: bool = False
) -> dict[Path, str]:
    """Deliver `folders`, for at most `seconds`; texts about those that could not be taken on.

    Importing MLflow takes more than a second; nothing else of this module needs it.

    Args:
        folders: of runs, sweeps before their children.
        seconds: a store that fails is given up sooner.
        uri: the store, None for the one that each run names.
        again: from the start once more.
    """
    from src.tracking.drain import FINISH_GRACE, drain
    from src.tracking.pump import Pump

    pump = Pump(report=lambda event: None)
    for folder in folders:
        pump.add(folder, uri, look_for_run=True)
        if again and folder in pump.active:
            pump.active[folder].restart()
    drain(pump, time.monotonic() + seconds, FINISH_GRACE, await_writers=False)
    return dict(pump.waiting)

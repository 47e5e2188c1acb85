"""Deliver what is left, until nothing more can be done."""

import time
from collections.abc import Callable

from src.tracking.pump import Pump

FINISH_GRACE = 5.0  # seconds a failing store is tried again once someone waits
PAUSE_SECONDS = 0.1  # between two looks at what others must do first


def drain(
    pump: Pump,
    deadline: float,
    grace_seconds: float,
    await_writers: bool,
    called_off: Callable[[], bool] = lambda: False,
) -> str:
    """Deliver everything the folders of `pump` hold; "" or why something had to be left.

    Args:
        pump: with its folders; all are let go of at the end.
        deadline: on the monotonic clock.
        grace_seconds: how long a store that fails is tried again.
        await_writers: go on as long as some process writes one of the folders.
        called_off: asked now and then whether to stop.
    """
    since = time.monotonic()
    for gate in pump.gates.values():
        gate.retry_at = since  # one more attempt, even in the middle of a long pause
    error = ""
    progress = True
    while not error and not called_off():
        if time.monotonic() > deadline:
            error = "time ran out before everything was delivered"
            break
        if progress and pump.turn():
            continue
        pump.look()
        progress = pump.close_dead(stale_seconds=0.0) or pump.turn()
        if progress:
            continue
        busy = pump.waiting and time.monotonic() - since < grace_seconds
        if not (busy or pump.failing() or (await_writers and pump.writers_alive())):
            break  # what is left waits for something that nobody does
        error = pump.outage(grace_seconds)
        if not error:
            time.sleep(PAUSE_SECONDS)
    pump.close(error)
    return error

"""Who writes a run, and whether that process still lives.

A process id alone is not enough: ids are used again. So an identity also holds the host, its boot
and the moment the process started (Linux: /proc; elsewhere the id alone, which errs
towards "alive").
"""

import os
import socket
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def identity(pid: int | None = None) -> dict[str, Any]:
    """Identity of process `pid` (default: this one): {"host", "pid", "pid_started"}.

    `pid_started` is "<boot id>:<clock ticks since boot>", or null where /proc doesn't say.
    """
    pid = os.getpid() if pid is None else pid
    return {"host": socket.gethostname(), "pid": pid, "pid_started": _started(pid)}


def alive(who: dict[str, Any] | None) -> bool | None:
    """True: still running; False: gone; None: can't be known from here (another host)."""
    if not who or not isinstance(who.get("pid"), int) or who["pid"] <= 0:
        return None
    if who.get("host") != socket.gethostname():
        return None
    started = who.get("pid_started")
    if started is not None and (_PROC / "self" / "stat").exists():
        return _started(who["pid"]) == started
    try:
        os.kill(who["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The command's name stands in parentheses and may hold spaces: fields are counted after it.
    fields = stat[stat.rindex(b")") + 1 :].split()
    state, start_ticks = fields[0], fields[19]
    if state in (b"Z", b"X", b"x"):  # killed, only waiting for its parent to notice
        return None
    return f"{boot}:{start_ticks.decode()}"

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


def stopped(pid: int) -> bool:
    """Whether process `pid` is there, but was stopped by a signal or a debugger (Linux: /proc)."""
    fields = _stat(pid)
    return bool(fields) and fields[0] in ("T", "t")


def _started(pid: int) -> str | None:
    fields = _stat(pid)
    if not fields or fields[0] in ("Z", "X", "x"):  # killed, only waiting for its parent to notice
        return None
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return f"{boot}:{fields[19]}"


def _stat(pid: int) -> list[str]:
    """State, ..., start in clock ticks since boot (19), ...; empty where /proc doesn't say."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The command's name stands in parentheses and may hold spaces: fields are counted after it.
    return stat[stat.rindex(")") + 1 :].split()

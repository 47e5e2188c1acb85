"""Advisory locks on files, released by the system whenever the process that holds them ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class HeldError(TimeoutError):
    """Another process held the lock all the time."""


def try_lock(path: Path) -> int | None:
    """Lock `path` (created if absent): its descriptor, to be closed later; None when taken.

    On a file system that has no locks this succeeds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor


def taken(path: Path) -> bool:
    """Whether a process holds the lock on `path`, which exists; others' files count as taken."""
    try:
        descriptor = try_lock(path)
    except OSError:
        return True
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def holders(path: Path) -> list[int]:
    """The processes that hold the lock on `path`, as far as the system tells (Linux: /proc)."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines if "FLOCK" in line and "->" not in line]
    return [int(f[4]) for f in fields if f[5].rpartition(":")[2] == str(inode)]


@contextmanager
def locked(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock on `path`. Raises HeldError."""
    deadline = time.monotonic() + timeout_seconds
    pause = 0.005
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise HeldError(f"{path} is held by another process")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    try:
        yield
    finally:
        os.close(descriptor)

"""A disk that takes no more: what is said of it, wherever a run writes its folder."""

import errno
import os
import shutil
from pathlib import Path

# The disk is full, the quota is used up, the largest size of a file is reached.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WHAT = {
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the largest size of a file is reached",
}


class StorageError(OSError):
    """A run's folder can't be written. The message names the file, what is needed and free."""

    def __str__(self) -> str:
        return str(self.strerror)


def refused(path: Path, error: OSError, needed: int) -> StorageError:
    """The error to raise when `needed` bytes could not be written to `path`."""
    if error.errno not in FULL:
        return StorageError(error.errno, f"{path}: {error.strerror or error}")
    return StorageError(error.errno, _full(path, error.errno, f"{needed:,} bytes are needed"))


def described(error: BaseException, folder: Path) -> str | None:
    """One line about an error that is a full disk's; None for any other.

    folder: where was written, in case the error doesn't say.
    """
    if isinstance(error, StorageError):
        return str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:  # TensorFlow's errors have the system's text alone
        number = next((n for n in FULL if os.strerror(n) in str(error)), None)
    if number not in FULL:
        return None
    named = error.filename if isinstance(error, OSError) else None
    path = Path(os.fsdecode(named)) if isinstance(named, str | bytes) else folder
    return _full(path, number, "more is needed")


def _full(path: Path, number: int, needed: str) -> str:
    existing = path
    while not existing.is_dir() and existing != existing.parent:
        existing = existing.parent
    what = _WHAT.get(number, "the disk is full")
    free = shutil.disk_usage(existing).free
    return f"{path}: {what}: {needed}, {free:,} are free; make room and go on with resume"

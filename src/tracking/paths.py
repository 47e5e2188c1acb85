"""Names inside a run's folder: they may come from a copy made elsewhere, so they can't leave it."""

import json
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from src import crash_points


def inside(folder: Path, relative: str) -> Path:
    """`folder / relative` without symbolic links; ValueError when that lies outside `folder`."""
    pure = PurePosixPath(relative)
    climbs = pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in relative
    if climbs or "\\" in relative:
        raise ValueError(f"{relative!r} is not a path inside {folder}")
    root = folder.resolve()
    path = (root / pure).resolve()
    if not path.is_relative_to(root) or path == root:
        raise ValueError(f"{relative!r} leads outside {folder}")
    return path


def write_json_atomically(path: Path, value: Any, durable: bool = True) -> None:
    """Replace `path` by the JSON of `value`, whole or not at all (durable: flushed first)."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            if durable:
                os.fsync(file.fileno())
        crash_points.passing("json.written")
        Path(temporary).replace(path)
        crash_points.passing("json.renamed")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries (new names, renames) to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems can't flush a folder
        pass
    finally:
        os.close(descriptor)

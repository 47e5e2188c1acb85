"""Pictures that are decoded once, into a file of pixels, and read from there as they are used."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.locks import locked

AT_ONCE = 256  # pictures decoded before they are written
HOURS = 24.0  # that another process may take over the same pictures


def open_or_write(
    folder: Path,
    files: Sequence[Path],
    shape: tuple[int, int, int],
    decoded: Callable[[Sequence[Path]], Iterable[np.ndarray]],
) -> np.ndarray:
    """The pixels of `files`, memory-mapped; decoded first where no file in `folder` holds them.

    Which file that is follows from the shape and from the pictures' paths, sizes and times of
    change. It appears whole; processes that want the same one wait for the first of them.

    Args:
        folder: of such files; made where it is absent.
        files: the pictures, in order of the rows.
        shape: (height, width, channels) after decoding.
        decoded: each picture's pixels, uint8 of `shape`; given some files at a time.

    Returns:
        uint8 (len(files), *shape).

    Raises:
        UserError: the disk has not enough room, or a picture can't be decoded.
    """
    path = folder / f"{_key(files, shape)}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), HOURS * 3600):
        if not path.exists():
            _write(path, files, shape, decoded)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _key(files: Sequence[Path], shape: tuple[int, int, int]) -> str:
    digest = hashlib.sha256(repr(shape).encode())
    for file in files:
        status = file.stat()
        digest.update(f"{file.absolute()}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _write(
    path: Path,
    files: Sequence[Path],
    shape: tuple[int, int, int],
    decoded: Callable[[Sequence[Path]], Iterable[np.ndarray]],
) -> None:
    needed = len(files) * int(np.prod(shape))
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"data.cache={path.parent}: the pictures' pixels take {needed / 2**30:,.1f} GiB there, "
            f"and {free / 2**30:,.1f} GiB are free; make room, give another folder, or smaller "
            "data.height and data.width"
        )
    print(
        f"decodes {len(files):,} pictures into {path} ({needed / 2**30:,.1f} GiB), once", flush=True
    )
    aside = path.with_suffix(".partial")  # of a process that was killed, it is begun anew
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *shape)}
    with aside.open("wb") as written:
        np.lib.format.write_array_header_1_0(written, header)
        for start in range(0, len(files), AT_ONCE):
            for pixels in decoded(files[start : start + AT_ONCE]):
                written.write(pixels.tobytes())
        written.flush()
        os.fsync(written.fileno())
    aside.rename(path)

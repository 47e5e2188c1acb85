"""The IDX format of MNIST and its descendants: a big-endian header, then unsigned bytes."""

import math
import sys
import zlib
from pathlib import Path

import numpy as np

from src.errors import UserError

UNSIGNED_BYTES = 0x08
GZIP = 31  # zlib's window bits for a gzip header and trailer


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzip-compressed or plain.

    Returns:
        uint8 array of `axes` dimensions, read-only.

    Raises:
        UserError: naming the file, when it is truncated, damaged or something else.
    """
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    header_size = 4 + 4 * axes
    compressed = stored[:2] == b"\x1f\x8b"
    header = _inflate(stored, header_size, path)[0] if compressed else stored[:header_size]
    if len(header) < header_size or header[:4] != bytes((0, 0, UNSIGNED_BYTES, axes)):
        raise UserError(
            f"{path}: not an IDX file of bytes with {axes} axes "
            f"(it opens with {header[:4].hex(' ') or 'nothing'}, not 00 00 08 {axes:02x})"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", axes, offset=4))
    size = min(header_size + math.prod(shape), sys.maxsize)
    # Never more than the header promises is decompressed: a small file can't fill the memory.
    content, whole = _inflate(stored, size, path) if compressed else (stored, True)
    if len(content) != size or not whole:
        raise UserError(
            f"{path}: truncated or damaged; its header promises {shape}, {size:,} bytes in all, "
            f"and it holds {'fewer' if len(content) < size else 'more'}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def _inflate(stored: bytes, size: int, path: Path) -> tuple[bytes, bool]:
    """At most `size` decompressed bytes, and whether the stream ends there, checksum and all."""
    inflater = zlib.decompressobj(wbits=GZIP)
    try:
        content = inflater.decompress(stored, size)
        # With the content complete, the checksum behind it is unread, and more content may follow.
        if not inflater.eof and len(content) == size:
            content += inflater.decompress(inflater.unconsumed_tail, 1)
        return content, inflater.eof
    except zlib.error as error:
        raise UserError(f"{path}: damaged ({error}); fetch it again") from error

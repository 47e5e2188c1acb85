"""IDX files: what is read, and what truncated, damaged and hostile ones get."""

import gzip
import struct

import numpy as np
import pytest

from src.data.idx import read_idx
from src.errors import UserError

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
PLAIN = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + VALUES.tobytes()  # written out by hand


@pytest.mark.parametrize("content", [PLAIN, gzip.compress(PLAIN)], ids=["plain", "gzip"])
def test_reads_plain_and_compressed_files(tmp_path, content):
    path = tmp_path / "images"
    path.write_bytes(content)
    read = read_idx(path, axes=3)
    np.testing.assert_array_equal(read, VALUES)
    assert read.dtype == np.uint8


def header(*bytes_and_sizes):
    return struct.pack(">4B3I", *bytes_and_sizes) + VALUES.tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00", "not an IDX file"),
        (header(0, 0, 13, 3, 2, 3, 4), "opens with 00 00 0d 03, not 00 00 08 03"),
        (header(0, 0, 8, 1, 2, 3, 4), "not 00 00 08 03"),
        (PLAIN[:-1], r"promises \(2, 3, 4\), 40 bytes in all, and it holds fewer"),
        (PLAIN + b"\x00", "holds more"),
        (header(0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "holds fewer"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_wrong_content_names_the_file(tmp_path, content, message, pack):
    path = tmp_path / "images-idx3"
    path.write_bytes(pack(content))
    with pytest.raises(UserError, match=f"images-idx3: .*{message}"):
        read_idx(path, axes=3)


def test_every_truncation_of_a_compressed_file_is_noticed(tmp_path):
    path = tmp_path / "images"
    whole = gzip.compress(PLAIN)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="images: "):
            read_idx(path, axes=3)


def test_every_flipped_bit_of_compressed_content_is_noticed(tmp_path):
    path = tmp_path / "images"
    whole = gzip.compress(PLAIN)
    for position in range(10, len(whole)):  # the ten bytes before are gzip's header: name, time
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="images: "):
            read_idx(path, axes=3)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(PLAIN + bytes(200 * 2**20)))
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(UserError, match="holds more"):
        read_idx(path, axes=3)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        read_idx(tmp_path, axes=3)

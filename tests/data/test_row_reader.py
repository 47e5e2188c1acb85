"""Rows read from a file by their numbers are those of the array that is mapped."""

import numpy as np
import pytest

from src.data.row_reader import RowReader

ORDER = np.array([7, 0, 7, 19, 3])


@pytest.fixture
def mapped(tmp_path):
    def make(array):
        np.save(tmp_path / "x.npy", array)
        return np.load(tmp_path / "x.npy", mmap_mode="r")

    return make


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "?", "<f2", "<i8"])
@pytest.mark.parametrize("shape", [(20,), (20, 3), (20, 2, 3, 1)])
def test_rows_are_those_of_the_array(mapped, dtype, shape):
    array = mapped(np.random.default_rng(0).integers(0, 200, shape).astype(dtype))
    reader = RowReader.of(array)
    assert isinstance(reader, RowReader)
    assert (reader.shape, reader.dtype, reader.ndim, reader.size, len(reader)) == (
        array.shape,
        array.dtype,
        array.ndim,
        array.size,
        len(array),
    )
    np.testing.assert_array_equal(reader[ORDER], array[ORDER])
    assert reader[ORDER].dtype == array.dtype
    assert reader[ORDER[:0]].shape == (0, *shape[1:])


def test_what_lies_in_no_file_or_in_columns_is_left_as_it_is(mapped):
    held = np.zeros((20, 3))
    columns = mapped(np.asfortranarray(np.random.default_rng(0).random((20, 3))))
    for array in (held, columns):
        assert RowReader.of(array) is array


def test_a_file_may_be_deleted_while_it_is_read(mapped, tmp_path):
    array = np.arange(40.0).reshape(20, 2)
    reader = RowReader.of(mapped(array))
    (tmp_path / "x.npy").unlink()
    np.testing.assert_array_equal(reader[ORDER], array[ORDER])


def test_a_file_that_was_cut_short_is_named(mapped, tmp_path):
    reader = RowReader.of(mapped(np.arange(40.0).reshape(20, 2)))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(300)
    np.testing.assert_array_equal(reader[np.array([0])], [[0.0, 1.0]])
    with pytest.raises(OSError, match=r"x\.npy: row 19 can't be read, the file was cut short"):
        reader[ORDER]


def test_a_part_of_a_mapped_file_is_read_as_the_part_it_is(mapped):
    array = mapped(np.arange(40.0).reshape(20, 2))
    for part in (array[5:], array[:, :1], array.reshape(10, 4)):
        assert RowReader.of(part) is part

"""Rows that stay in their file are the rows that would have been held."""

import numpy as np
import pytest

from src.data.load import load
from src.data.stored import StoredRows
from src.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """40 rows of 6 numbers in .npy files."""
    generator = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", generator.normal(3, 2, (40, 6)))
    np.save(tmp_path / "y.npy", np.arange(40) % 4)
    return tmp_path


def config(folder, **changes):
    return {
        "_target_": "src.data.arrays.load",
        "path": str(folder),
        "task": "auto",
        "num_classes": None,
        "streaming": True,
        "batch_size": 8,
        "evaluation_batch_size": 8,
        "seed": 0,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
        "normalisation": "standard",
        "labels": "as_is",
        **changes,
    }


@pytest.mark.parametrize("normalisation", ["none", "range", "standard"])
def test_every_row_is_the_same_to_the_bit(folder, normalisation):
    held = load(config(folder, streaming=False, normalisation=normalisation), 0)
    stored = load(config(folder, normalisation=normalisation), 0)
    assert held.digest == stored.digest
    for name, split in stored.splits().items():
        expected = held.splits()[name]
        assert isinstance(split.x, StoredRows)
        assert (split.x.shape, split.x.dtype) == (expected.x.shape, expected.x.dtype)
        np.testing.assert_array_equal(split.x[:], expected.x)
        np.testing.assert_array_equal(split.y, expected.y)
        order = np.random.default_rng(1).permutation(split.rows)[:5]
        np.testing.assert_array_equal(split.x[order], expected.x[order])
    with pytest.raises(TypeError, match="not held"):
        np.asarray(stored.train.x)


def test_auto_goes_by_the_room_there_is(folder):
    held = 40 * 6 * 4
    few = load(config(folder, streaming="auto"), 0, room=2 * held)
    many = load(config(folder, streaming="auto"), 0, room=20 * held)
    unknown = load(config(folder, streaming="auto"), 0)
    assert [isinstance(made.train.x, StoredRows) for made in (few, many, unknown)] == [
        True,
        False,
        False,
    ]


def test_what_has_to_be_read_whole_is_refused(folder):
    np.savez(folder / "both.npz", x=np.load(folder / "x.npy"), y=np.load(folder / "y.npy"))
    with pytest.raises(UserError, match=r"data\.streaming=true: .*both\.npz has to be read whole"):
        load(config(folder / "both.npz"), 0)


def test_values_that_float32_cannot_hold_are_refused_before_training(folder):
    x = np.load(folder / "x.npy")
    x[7, 3] = 1e300
    np.save(folder / "x.npy", x)
    with pytest.raises(UserError, match="values that float32 can't"):
        load(config(folder, normalisation="none"), 0)

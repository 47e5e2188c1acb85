"""data=random draws what the notes draw, the same for the same seed."""

import numpy as np

from src.data import random

NOTES: dict[str, int] = {
    "rows": 1000,
    "features": 32,
    "classes": 10,
    "validation_rows": 200,
    "test_rows": 200,
}


def test_has_the_sizes_of_the_notes():
    source = random.load(**NOTES, seed=0)
    shapes = {name: (x.shape, y.shape) for name, (x, y) in source.splits().items()}
    assert shapes == {
        "train": ((1000, 32), (1000, 10)),
        "val": ((200, 32), (200, 10)),
        "test": ((200, 32), (200, 10)),
    }
    assert source.labels == "soft"
    assert source.num_classes == 10


def test_values_are_uniform_float32():
    x, y = random.load(**NOTES, seed=0).train
    for values in (x, y):
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() < 1
        # Uniform on [0, 1): mean 1/2, variance 1/12; 10,000 values and more keep within 5 sigma.
        assert abs(values.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / values.size)
        assert abs(values.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / values.size)


def test_the_seed_alone_decides():
    first, again, other = (random.load(**NOTES, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.train[0], again.train[0])
    np.testing.assert_array_equal(first.splits()["test"][1], again.splits()["test"][1])
    assert not np.array_equal(first.train[0], other.train[0])


def test_training_rows_stay_when_other_sizes_change():
    small = random.load(**{**NOTES, "validation_rows": 1, "test_rows": 0}, seed=0)
    np.testing.assert_array_equal(small.train[1], random.load(**NOTES, seed=0).train[1])
    assert small.test is None

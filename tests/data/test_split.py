"""Splits: seeded, stratified, and never without a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.split import split
from src.errors import UserError


def divide(classes, validation=0.2, test=0.2, seed=0):
    return split(np.asarray(classes), seed=seed, validation_fraction=validation, test_fraction=test)


def counts(rows, classes):
    return np.bincount(np.asarray(classes)[rows], minlength=max(classes) + 1).tolist()


def test_each_class_is_divided_in_proportion():
    classes = [0] * 50 + [1] * 30 + [2] * 20
    train, val, test = divide(classes)
    assert counts(train, classes) == [30, 18, 12]
    assert counts(val, classes) == [10, 6, 4]
    assert counts(test, classes) == [10, 6, 4]


def test_sizes_go_to_the_nearest_row_of_the_whole():
    train, val, test = divide([0, 1, 2] * 599, validation=0.15, test=0.15)  # digits' 1,797 rows
    assert (len(train), len(val), len(test)) == (1797 - 270 - 270, 270, 270)  # 269.55


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_the_seed_alone_decides(seed):
    classes = np.arange(40) % 4
    for first, second in zip(divide(classes, seed=seed), divide(classes, seed=seed), strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(divide(classes, seed=seed)[1], divide(classes, seed=5)[1])


def test_this_seed_gives_these_rows():
    """Splits must not change from one release of the harness or NumPy to the next."""
    _, val, test = divide(np.arange(20) % 2)
    assert (val.tolist(), test.tolist()) == ([1, 8, 9, 16], [0, 2, 11, 17])
    draws = np.random.Philox(key=0).random_raw(20)
    for parity in (0, 1):  # of ten rows of a class, the two smallest draws test, the next validate
        ordered = sorted(range(parity, 20, 2), key=lambda row: draws[row])
        assert {row for row in test if row % 2 == parity} == set(ordered[:2])
        assert {row for row in val if row % 2 == parity} == set(ordered[2:4])


def test_classes_of_one_row_stay_in_training_while_others_can_stand_in():
    classes = [*range(10), *[10] * 90]
    train, val, test = divide(classes, validation=0.3, test=0.3)
    assert set(np.asarray(classes)[train]) == set(range(11))
    assert (len(val), len(test)) == (30, 30)


def test_a_class_for_every_row():
    train, val, test = divide(range(10), validation=0.3, test=0.3)
    assert (len(train), len(val), len(test)) == (4, 3, 3)


def test_one_row_each():
    assert [len(rows) for rows in divide([0, 1, 2], 0.01, 0.01)] == [1, 1, 1]
    assert [len(rows) for rows in divide([0, 0], 0.5, 0)] == [1, 1, 0]


def test_no_fraction_no_rows():
    train, val, test = divide([0, 1, 0, 1], 0.0, 0.0)
    assert train.tolist() == [0, 1, 2, 3]
    assert len(val) == len(test) == 0


@pytest.mark.parametrize(
    ("rows", "validation", "test", "message"),
    [
        (
            1,
            0.15,
            0.15,
            r"1 row can't be divided into training, validation, test rows .* more rows",
        ),
        (1, 0.15, 0.0, r"1 row can't be divided into training, validation rows .* more rows"),
        (2, 0.15, 0.15, r"2 rows can't be divided .*try data\.test_fraction=0"),
        (10, 0.5, 0.5, r"data\.validation_fraction=0\.5 and data\.test_fraction=0\.5 .*below 1"),
        (10, 0.5, 0.46, r"10 rows can't be divided"),
    ],
)
def test_too_few_rows_say_so(rows, validation, test, message):
    with pytest.raises(UserError, match=message):
        divide([0] * rows, validation, test)


@given(
    st.lists(st.integers(0, 6), min_size=3, max_size=120),
    st.floats(0.001, 0.45),
    st.floats(0.001, 0.45),
    st.integers(0, 2**32),
)
def test_any_labels_are_divided_whole_and_in_proportion(classes, validation, test, seed):
    rows = len(classes)
    sizes = [max(1, int(rows * fraction + 0.5)) for fraction in (validation, test)]
    if sum(sizes) >= rows:
        with pytest.raises(UserError):
            divide(classes, validation, test, seed)
        return
    parts = divide(classes, validation, test, seed)
    assert sorted(np.concatenate(parts)) == list(range(rows))
    assert [len(part) for part in parts[1:]] == sizes
    # A class's share is rounded up or down, unless its last row was kept for training.
    total = np.bincount(classes, minlength=7)
    found = np.bincount(np.asarray(classes)[parts[2]], minlength=7)
    small = total == 1
    if not small.any():
        assert (np.abs(found - total * sizes[1] / rows) < 2).all()
    assert (found <= total).all()

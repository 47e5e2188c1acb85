"""Every mistake in a source's arrays gets one line that names the source and the array."""

import numpy as np
import pytest

from src.data.check import check, count_classes
from src.errors import UserError

X, Y = np.ones((4, 3)), np.array([0, 1, 2, 1])
SOFT = np.full((4, 2), 0.5)


def with_value(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train": ([[1.0]], Y)}, "x of train is of type list; allowed are NumPy arrays"),
        ({"train": (np.array(1.0), Y)}, "x of train is a single value"),
        ({"train": (np.ones((0, 3)), Y[:0])}, r"x of train has shape \(0, 3\) and so no values"),
        ({"train": (np.ones((4, 0)), Y)}, r"x of train has shape \(4, 0\)"),
        ({"train": (X, Y), "val": (X[:0], Y[:0])}, "x of val has shape"),
        ({"train": (X.astype(complex), Y)}, "x of train is of type complex128; allowed are"),
        ({"train": (X.astype(str), Y)}, "x of train is of type <U32"),
        ({"train": (X.astype(object), Y)}, "x of train is of type object"),
        ({"train": (X, Y.astype("M8[s]"))}, "y of train is of type datetime64"),
        ({"train": (with_value(X, (2, 1), np.nan), Y)}, r"x of train holds nan at index \[2, 1\]"),
        ({"train": (with_value(X, (3, 0), -np.inf), Y)}, r"holds -inf at index \[3, 0\]"),
        ({"train": (np.ones(4), Y)}, r"x of train has shape \(4,\).*reshape"),
        ({"train": (X, Y[:3])}, "train has 4 rows of x and 3 of y"),
        ({"train": (X, Y.astype(float))}, r"y of train has shape \(4,\) and type float64; integer"),
        ({"train": (X, Y[:, None])}, r"y of train has shape \(4, 1\)"),
        ({"train": (X, Y - 1)}, "y of train holds the label -1; classes are numbered from 0"),
        (
            {"num_classes": 2, "train": (X, Y)},
            r"holds the label 2, but data\.num_classes=2 .*0 to 1",
        ),
        ({"train": (X, Y), "test": (X, Y + 9), "num_classes": 9}, "y of test holds the label 11"),
        ({"train": (X, Y), "val": (X[:, :2], Y)}, r"row of x has shape \(2,\) in val and \(3,\)"),
        ({"labels": "soft", "train": (X, Y)}, r"y of train has shape \(4,\); soft labels"),
        ({"labels": "soft", "train": (X, SOFT[:, :1])}, r"has shape \(4, 1\); soft labels"),
        ({"labels": "soft", "train": (X, SOFT), "num_classes": 3}, r"2 columns.*num_classes=3"),
        ({"labels": "soft", "train": (X, -SOFT)}, r"holds -0\.5; probabilities"),
        (
            {"labels": "soft", "train": (X, SOFT * np.nan)},
            r"y of train holds nan at index \[0, 0\]",
        ),
        ({"labels": "one_hot", "train": (X, SOFT)}, "y of train is not one-hot"),
        ({"labels": "soft", "train": (X, SOFT), "val": (X, np.ones((4, 3)))}, "row of y has shape"),
        ({"labels": "real", "train": (X, np.ones((4, 1, 1)))}, r"has shape \(4, 1, 1\); real"),
    ],
)
def test_each_mistake_is_named_in_one_line(make_source, fields, message):
    with pytest.raises(UserError, match=message) as error:
        check(make_source(**fields))
    assert str(error.value).startswith("small.npz: ")
    assert "\n" not in str(error.value)


def test_the_place_of_a_nan_is_found_in_large_arrays(make_source):
    x = np.zeros((5000, 200), np.float32)
    x[4321, 123] = np.nan
    with pytest.raises(UserError, match=r"nan at index \[4321, 123\]"):
        check(make_source(train=(x, np.zeros(5000, int))))


@pytest.mark.parametrize(
    ("fields", "classes"),
    [
        ({"train": (X, Y)}, 3),
        ({"train": (X, Y), "test": (X, Y + 1)}, 4),
        ({"train": (X, Y), "num_classes": 7}, 7),
        ({"train": (X, Y * 0), "num_classes": 2}, 2),
        ({"train": (X, SOFT), "labels": "soft"}, 2),
        ({"train": (X, Y / 7), "labels": "real"}, 1),
        ({"train": (X, np.ones((4, 5))), "labels": "real"}, 5),
    ],
)
def test_the_number_of_classes(make_source, fields, classes):
    source = make_source(**fields)
    check(source)
    assert count_classes(source) == classes


def test_a_single_class_is_nothing_to_learn(make_source):
    with pytest.raises(UserError, match=r"all labels are 0.*data\.num_classes=2"):
        count_classes(make_source(train=(X, Y * 0)))


def test_numbers_that_are_no_class_numbers(make_source):
    with pytest.raises(UserError, match=r"largest of 4 labels is 94103.*from 0.*data\.num_classes"):
        count_classes(make_source(train=(X, Y + 94101)))

"""The table in src/data/array_labels.py, cell by cell."""

import numpy as np
import pytest

from src.data.array_labels import Task, label_kind
from src.errors import UserError

LABELS = {
    "integers": np.array([0, 2, 1]),
    "booleans": np.array([True, False, True]),
    "whole floats": np.array([0.0, 2.0, 1.0]),
    "floats": np.array([0.5, 2.0, 1.0]),
    "one hot": np.array([[0, 1], [1, 0]]),
    "one hot floats": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "shares": np.array([[0.25, 0.75], [1.0, 0.0]]),
    "other floats": np.array([[0.25, 0.25], [1.0, 0.0]]),
    "negative floats": np.array([[-1.0, 2.0], [1.0, 0.0]]),
    "other integers": np.array([[1, 1], [0, 3]]),
}
REFUSED = "refused"


@pytest.mark.parametrize(
    ("name", "auto", "classification"),
    [
        ("integers", "integer", "integer"),
        ("booleans", "integer", "integer"),
        ("whole floats", REFUSED, "integer"),
        ("floats", "real", REFUSED),
        ("one hot", "one_hot", "one_hot"),
        ("one hot floats", "one_hot", "one_hot"),
        ("shares", "soft", "soft"),
        ("other floats", "real", "soft"),
        ("negative floats", "real", "soft"),  # src.data.check refuses the negative values
        ("other integers", REFUSED, "soft"),
    ],
)
def test_what_labels_are_taken_for(name, auto, classification):
    tasks: list[tuple[Task, str]] = [("auto", auto), ("classification", classification)]
    for task, expected in tasks:
        if expected == REFUSED:
            with pytest.raises(UserError, match=r"small\.npz: y holds .*data\.task="):
                label_kind({"train": LABELS[name]}, task, "small.npz")
        else:
            assert label_kind({"train": LABELS[name]}, task, "small.npz")[0] == expected
    assert label_kind({"train": LABELS[name]}, "regression", "small.npz")[0] == "real"


def test_a_column_counts_as_a_row_of_labels():
    kind, labels = label_kind({"train": np.array([[1], [0]])}, "auto", "small.npz")
    assert kind == "integer"
    assert labels["train"].tolist() == [1, 0]


def test_whole_floats_become_integers():
    _, labels = label_kind({"train": LABELS["whole floats"]}, "classification", "small.npz")
    assert labels["train"].dtype == np.int64


def test_probabilities_in_half_precision_still_sum_to_one():
    shares = np.array([[1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]], np.float16)
    assert label_kind({"train": shares}, "auto", "small.npz")[0] == "soft"


def test_all_splits_count():
    labels = {"train": LABELS["one hot floats"], "val": LABELS["shares"]}
    assert label_kind(labels, "auto", "small.npz")[0] == "soft"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"train": np.array(1)}, r"y of train has shape \(\)"),
        ({"train": np.zeros((2, 2, 2))}, r"y of train has shape \(2, 2, 2\)"),
        ({"train": np.zeros(0)}, r"y of train has shape \(0,\)"),
        ({"train": np.array(["cat", "dog"])}, "type <U3; allowed are numbers"),
        ({"train": np.zeros(2), "val": np.zeros((2, 3))}, r"\(2,\) in train, \(2, 3\) in val"),
    ],
)
def test_other_shapes_and_types_are_refused(labels, message):
    with pytest.raises(UserError, match=message):
        label_kind(labels, "auto", "small.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_floats_that_are_no_class_numbers(value):
    with pytest.raises(UserError, match=r"small\.npz: y holds"):
        label_kind({"train": np.array([1.0, value])}, "classification", "small.npz")

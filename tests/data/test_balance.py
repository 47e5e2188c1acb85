"""Weights of classes by hand."""

import numpy as np
import pytest

from src.data.balance import class_weights
from src.data.dataset import Dataset, Split
from src.errors import UserError


def dataset(y, kind="integer", classes=3) -> Dataset:
    split = Split(np.zeros((len(y), 2), np.float32), np.array(y))
    return Dataset("mine", split, split, None, classes, kind, (), "made", "0")


def test_balanced_of_integer_labels():
    # 6 rows, 3 classes: 6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)
    assert class_weights("balanced", dataset([0, 0, 0, 1, 1, 2])) == pytest.approx([2 / 3, 1, 2])


@pytest.mark.parametrize("kind", ["one_hot", "soft"])
def test_balanced_of_labels_with_a_column_a_class(kind):
    y = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    assert class_weights("balanced", dataset(y, kind, 2)) == pytest.approx([4 / 6, 4 / 2])


def test_balanced_of_a_label_for_each_position():
    y = np.array([[0, 0], [0, 1]])
    assert class_weights("balanced", dataset(y, classes=2)) == pytest.approx([4 / 6, 4 / 2])


def test_given_weights_stay():
    assert class_weights([1, 0.5, 0], dataset([0, 1, 2])) == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("wanted", "made", "said"),
    [
        ("balanced", dataset([0, 2]), "loss.class_weights=balanced: no training row of mine is of"),
        ([1, 2], dataset([0, 1]), "loss.class_weights: 2 weights for the 3 classes of mine"),
        ("balanced", dataset([[0.5]], "real", 1), "loss.class_weights: mine has real-valued"),
        ([1.0], dataset([[0.5]], "real", 1), "loss.class_weights: mine has real-valued"),
    ],
)
def test_what_has_no_weights_is_refused(wanted, made, said):
    with pytest.raises(UserError) as raised:
        class_weights(wanted, made)
    assert str(raised.value).startswith(said)

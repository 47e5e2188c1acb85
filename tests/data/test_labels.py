"""Conversions of labels, and those that are refused."""

import numpy as np
import pytest

from src.data.labels import convert, resulting_kind
from src.errors import UserError


def test_integers_become_one_hot_rows():
    result = convert(np.array([2, 0], np.uint8), "integer", "one_hot", 3)
    assert result.dtype == np.float32
    assert result.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_one_hot_rows_become_integers():
    result = convert(np.array([[0, 0, 1], [1, 0, 0]]), "one_hot", "integer", 3)
    assert result.dtype == np.int32
    assert result.tolist() == [2, 0]


def test_as_is_only_casts():
    assert convert(np.array([2, 0]), "integer", "integer", 3).dtype == np.int32
    soft = convert(np.array([[0.25, 0.75]]), "soft", "soft", 2)
    assert soft.dtype == np.float32
    assert soft.tolist() == [[0.25, 0.75]]


def test_real_values_get_a_column():
    assert convert(np.array([1.5, 2.5]), "real", "real", 1).tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize(
    ("kind", "wanted", "result"),
    [
        ("integer", "as_is", "integer"),
        ("integer", "one_hot", "one_hot"),
        ("one_hot", "integer", "integer"),
        ("one_hot", "one_hot", "one_hot"),
        ("soft", "as_is", "soft"),
        ("real", "as_is", "real"),
    ],
)
def test_kinds(kind, wanted, result):
    assert resulting_kind(kind, wanted, "small.npz") == result


@pytest.mark.parametrize("wanted", ["integer", "one_hot"])
@pytest.mark.parametrize(
    ("kind", "reason"), [("soft", "shares of several"), ("real", "not classes")]
)
def test_conversions_that_would_lose_something_are_refused(kind, wanted, reason):
    with pytest.raises(UserError, match=rf"data\.labels={wanted}: .*small\.npz.*{reason}.*as_is"):
        resulting_kind(kind, wanted, "small.npz")

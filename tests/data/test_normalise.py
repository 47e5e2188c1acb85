"""Scaling: hand-computed figures, fitted on training rows alone."""

import numpy as np
import pytest

from src.data import normalise
from src.data.chunks import row_chunks
from src.errors import UserError


def scaled(x, how, fit_rows=None):
    every = np.arange(len(x))
    scaling = normalise.fit(x, every if fit_rows is None else np.asarray(fit_rows), how)
    return normalise.apply(x, every, scaling)


def test_none_only_casts():
    x = np.array([[1.5, -2.0], [3.0, 700.0]])
    result = scaled(x, "none")
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, x)


def test_range_of_a_table_is_taken_for_each_feature():
    x = np.array([[0, 100], [5, 300], [10, 200]])
    assert scaled(x, "range").tolist() == [[0, 0], [0.5, 1], [1, 0.5]]


def test_standard_of_a_table_is_taken_for_each_feature():
    # Feature 0: mean 4, deviations -2 and 2; feature 1: mean 10, deviations 5 and -5.
    x = np.array([[2.0, 15.0], [6.0, 5.0]])
    assert scaled(x, "standard").tolist() == [[-1, 1], [1, -1]]


def test_figures_of_images_are_taken_for_each_channel():
    x = np.zeros((2, 2, 2, 2), np.uint8)
    x[..., 0] = np.arange(8).reshape(2, 2, 2)
    x[..., 1] = 10 * np.arange(8).reshape(2, 2, 2)
    by_range = scaled(x, "range")
    np.testing.assert_allclose(by_range[..., 0].ravel(), np.arange(8) / 7, rtol=1e-6)
    np.testing.assert_array_equal(by_range[..., 0], by_range[..., 1])
    # Eight values 0..7: mean 3.5, variance 5.25.
    by_standard = scaled(x, "standard")[..., 1].ravel()
    np.testing.assert_allclose(by_standard, (np.arange(8) - 3.5) / 5.25**0.5, rtol=1e-6)


def test_arrays_of_three_axes_have_one_figure_for_all():
    x = np.arange(8).reshape(2, 2, 2)
    np.testing.assert_allclose(scaled(x, "range").ravel(), np.arange(8) / 7, rtol=1e-6)


def test_rows_outside_training_have_no_influence():
    x = np.array([[0.0], [10.0], [1000.0]])
    assert scaled(x, "range", fit_rows=[0, 1]).ravel().tolist() == [0, 1, 100]
    assert scaled(x, "standard", fit_rows=[0, 1]).ravel().tolist() == [-1, 1, 199]


@pytest.mark.parametrize("how", ["range", "standard"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, -7.0, 1e30])
def test_a_constant_feature_becomes_zero(how, value):
    x = np.full((1001, 2), value)
    x[:, 1] = np.arange(1001)
    result = scaled(x, how)
    assert not result[:, 0].any()
    assert np.isfinite(result).all()


@pytest.mark.parametrize("how", ["range", "standard"])
def test_one_training_row(how):
    assert scaled(np.array([[3.0, 4.0]]), how).tolist() == [[0, 0]]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.int64, np.float16, ">f4", "f8"])
def test_every_type_of_number(dtype):
    x = np.array([[0], [1]], dtype)
    assert scaled(x, "range").tolist() == [[0], [1]]
    assert scaled(x, "standard").tolist() == [[-1], [1]]


@pytest.mark.parametrize("how", ["range", "standard"])
def test_many_chunks_agree_with_the_whole_at_once(how):
    x = np.random.default_rng(0).normal(5, 3, (3000, 300)).astype(np.float32)
    assert len(list(row_chunks(x))) > 3
    whole = x.astype(np.float64)
    low, span = whole.min(0), np.ptp(whole, 0)
    expected = {"range": (whole - low) / span, "standard": (whole - whole.mean(0)) / whole.std(0)}
    np.testing.assert_allclose(scaled(x, how), expected[how], rtol=1e-5, atol=1e-6)


def test_chunks_cover_the_rows_once():
    array = np.zeros((1000, 1000))
    pieces = list(row_chunks(array))
    assert [row for piece in pieces for row in range(piece.start, piece.stop)] == list(range(1000))
    wide = np.zeros((2, 2**19), np.uint8)  # a row larger than a chunk
    assert list(row_chunks(wide)) == [slice(0, 1), slice(1, 2)]


def test_values_beyond_float32_are_refused():
    with pytest.raises(UserError, match=r"float32 can't \(1e\+39"):
        scaled(np.array([[1e39], [0.0]]), "none")


@pytest.mark.parametrize("how", ["range", "standard"])
def test_values_whose_spread_exceeds_float64_are_refused(how):
    with pytest.raises(UserError, match=rf"data\.normalisation={how}: .*1\.7e\+308, too large"):
        scaled(np.array([[1.7e308], [-1.7e308]]), how)

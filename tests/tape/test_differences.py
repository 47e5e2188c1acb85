"""Central differences against derivatives worked out by hand, smooth functions and kinks."""

import math

import numpy as np
import pytest

from src.tape.differences import compare, relative_error

FLOAT64, FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


def judge(loss, weight, tape, tolerance=1e-4, dtype=FLOAT64):
    return compare(loss, weight, tape, tolerance, dtype)


def test_a_right_derivative_is_confirmed_to_many_digits():
    compared = judge(lambda w: w**3, 2.0, tape=12.0)

    assert compared.difference == pytest.approx(12.0, rel=1e-8)
    assert compared.error < 1e-8


@pytest.mark.parametrize("factor", [1.001, 0.999, 0.0, -1.0, 2.0])
def test_a_wrong_derivative_is_not(factor):
    compared = judge(math.sin, 0.5, tape=factor * math.cos(0.5))

    expected = abs(factor - 1) / max(abs(factor), 1)
    assert compared.error == pytest.approx(expected, rel=1e-4)


def test_a_kink_between_the_first_two_points_does_not_condemn_a_right_derivative():
    kink = 0.5 + 3e-6  # the first step is 6e-6, the second a tenth of it

    compared = judge(lambda w: max(w - kink, 0.0) + w, 0.5, tape=1.0)

    assert compared.error < 1e-8


def test_a_kink_does_not_excuse_a_wrong_derivative():
    kink = 0.5 + 3e-6

    assert judge(lambda w: max(w - kink, 0.0) + w, 0.5, tape=1.3).error > 0.03


def test_the_step_grows_with_the_weight():
    assert judge(lambda w: w**2, 3e7, tape=6e7).error < 1e-6


def test_float32_is_compared_coarsely():
    def square(w):
        return float(np.float32(w) * np.float32(w))

    assert judge(square, 3.0, tape=6.0, tolerance=0.01, dtype=FLOAT32).error < 0.01
    assert judge(square, 3.0, tape=5.0, tolerance=0.01, dtype=FLOAT32).error > 0.15


def test_a_loss_that_is_not_finite_near_the_weight_is_an_infinite_error():
    def logarithm(w):
        return math.log(w) if w > 0 else math.nan

    assert judge(logarithm, 1e-9, tape=1e9).error == math.inf


def test_a_derivative_that_is_not_finite_is_an_infinite_error():
    assert judge(lambda w: w, 1.0, tape=math.nan).error == math.inf


@pytest.mark.parametrize(
    ("tape", "difference", "error"),
    [
        (1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0),
        (1.0, 0.5, 0.5),
        (0.5, 1.0, 0.5),
        (0.0, 0.1, 1.0),
        (-1.0, 1.0, 2.0),
        (1e-12, 1e-9, 1e-9 * (1 - 1e-3) / 1e-4),  # as much as rounding leaves: below the tolerance
        (1e-12, 1e-7, 1 - 1e-5),  # more than that: another derivative, however small
    ],
)
def test_relative_error(tape, difference, error):
    found = relative_error(tape, difference, rounding=1e-8, tolerance=1e-4)

    assert found == pytest.approx(error, rel=1e-9)

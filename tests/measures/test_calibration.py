"""The expected calibration error, counted by hand."""

import numpy as np
import pytest

from src.measures.calibration import expected_calibration_error


def test_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.85, 0.15], [0.3, 0.7], [0.4, 0.6], [1.0, 0.0]])
    labels = np.array([0, 1, 1, 0, 0])
    # Five bins: 0.6 and 0.7 lie in [0.6, 0.8): half right, 0.65 sure;
    # 0.9, 0.85 and 1 in [0.8, 1]: two thirds right, 2.75 / 3 sure.
    expected = 2 / 5 * abs(1 / 2 - 0.65) + 3 / 5 * abs(2 / 3 - 2.75 / 3)
    assert expected_calibration_error(probabilities, labels, 5) == pytest.approx(expected)


def test_who_is_always_right_and_sure_has_none():
    assert expected_calibration_error(np.eye(3), np.arange(3), 15) == 0
    assert expected_calibration_error(np.eye(3), np.array([1, 2, 0]), 15) == 1

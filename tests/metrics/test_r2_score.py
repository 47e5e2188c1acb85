"""R^2 against scikit-learn's, also where Keras' own loses its figures."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from src.metrics.r2_score import R2Score


def of_batches(true, predicted, size):
    metric = R2Score(true.shape[1])
    for start in range(0, len(true), size):
        metric.update_state(true[start : start + size], predicted[start : start + size])
    return float(metric.result())


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("mean", [0, 20_000])
def test_equals_scikit_learns_whatever_the_batches_and_the_labels_mean(outputs, mean):
    generator = np.random.default_rng(0)
    true = (mean + 10 * generator.standard_normal((100, outputs))).astype(np.float32)
    predicted = (true + 5 * generator.standard_normal((100, outputs))).astype(np.float32)
    expected = r2_score(true.astype(np.float64), predicted)
    assert of_batches(true, predicted, 7) == pytest.approx(expected, abs=1e-4)
    assert of_batches(true, predicted, 100) == pytest.approx(expected, abs=1e-4)


def test_equal_labels_leave_nothing_to_explain():
    true = np.full((4, 1), 3, np.float32)
    assert of_batches(true, true, 2) == 1
    assert of_batches(true, true + 1, 2) == 0


def test_a_reset_forgets_everything():
    metric = R2Score(1)
    metric.update_state(np.array([[1.0], [5.0]]), np.array([[9.0], [9.0]]))
    metric.reset_state()
    true, predicted = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [2.0]])
    metric.update_state(true, predicted)
    assert float(metric.result()) == pytest.approx(1 - 1 / 2)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 1, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="r2_score takes labels and predictions"):
        R2Score(1).update_state(np.zeros(shape), np.zeros((4, 1)))

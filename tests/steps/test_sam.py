"""Sharpness-aware minimisation against the rule written in NumPy, and what its passes leave."""

import keras
import numpy as np
import pytest

from src.steps.sam import SharpnessAware
from src.steps.standard import Standard
from tests.steps.parts import RATE, W, X, Y, gradient, linear, others, residuals


def test_one_update_by_hand(tensorflow):
    step = linear(SharpnessAware, rho=0.3)
    loss = step.train(X, Y)
    first = gradient(W)
    second = gradient(W + 0.3 * first / np.sqrt((first**2).sum()))
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, W - RATE * second, rtol=1e-5)
    assert np.abs(second - first).max() > 0.1  # so that the test tells the two apart
    # The loss and the metrics are those at the weights themselves.
    assert float(loss) == pytest.approx((residuals(W) ** 2).mean(), rel=1e-6)
    assert float(step.metrics["error"].result()) == pytest.approx(np.abs(residuals(W)).mean())


def noisy():
    return [
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.ActivityRegularization(l2=0.1),
    ]


def test_both_passes_draw_the_same_numbers_and_see_every_penalty(tensorflow):
    """Then with rho 0 the second pass is the first again, and the update that of `standard`."""
    step = linear(SharpnessAware, layers=noisy(), rho=0.0)
    plain = linear(Standard, layers=noisy())
    for _ in range(3):
        assert float(step.train(X, Y)) == float(plain.train(X, Y))
    for one, other in zip(step.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_what_is_no_weight_is_kept_of_the_first_pass(tensorflow):
    step = linear(SharpnessAware, layers=noisy(), rho=0.7)
    plain = linear(Standard, layers=noisy())
    before = others(step)
    step.train(X, Y)
    plain.train(X, Y)
    for (path, one), other in zip(others(step).items(), others(plain).values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=path)
        assert not np.array_equal(one, before[path])


def test_weights_of_any_number_are_moved_as_one_vector(tensorflow):
    step = linear(SharpnessAware, layers=[keras.layers.Dense(2)], rho=0.2)
    gradients = [np.full(v.shape, 2.0, np.float32) for v in step.model.trainable_variables]
    moves = [np.asarray(move) for move in step.ascent(step.weights, [*gradients[:-1], None])]
    assert sum((move**2).sum() for move in moves) == pytest.approx(0.2**2)
    assert not moves[-1].any()  # no gradient, no move


def test_a_gradient_of_zero_moves_nothing(tensorflow):
    step = linear(SharpnessAware, rho=0.2)
    assert float(step.train(X, (X @ W).astype(np.float32))) == 0
    np.testing.assert_array_equal(step.model.get_weights()[0], W)

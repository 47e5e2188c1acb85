"""The gradient penalty against its closed form for a linear model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.errors import UserError
from src.steps.gradient_penalty import GradientPenalty
from src.steps.standard import Standard
from tests.steps.parts import RATE, W, X, Y, dataset, gradient, linear, residuals


def test_one_update_by_hand(tensorflow):
    step = linear(GradientPenalty, dataset=dataset(), weight=0.3)
    loss = step.train(tf.constant(X), tf.constant(Y))
    # A row's loss is the mean of its two squared residuals r, so its slope is r W^T.
    r, w, x = residuals(W), W.astype(float), X.astype(float)
    penalty = ((r @ w.T) ** 2).sum() / 3
    assert float(loss) == pytest.approx((r**2).mean() + 0.3 * penalty, rel=1e-5)
    assert penalty > 1
    # d |r W^T|^2 / d W, with r = x W - y: 2 x^T r W^T W + 2 W r^T r
    of_penalty = (2 * x.T @ r @ w.T @ w + 2 * w @ r.T @ r) / 3
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, W - RATE * (gradient(W) + 0.3 * of_penalty), rtol=1e-5)


def test_without_weight_it_is_the_standard_step(tensorflow):
    step, plain = linear(GradientPenalty, dataset=dataset(), weight=0.0), linear(Standard)
    for one in (step, plain):
        one.train(tf.constant(X), tf.constant(Y))
    np.testing.assert_allclose(step.model.get_weights()[0], plain.model.get_weights()[0], rtol=1e-6)


def test_inputs_without_a_derivative_are_refused(tensorflow):
    rounding = [keras.layers.Lambda(tf.stop_gradient)]
    with pytest.raises(UserError, match=r"step=gradient_penalty: .* no derivative"):
        linear(GradientPenalty, layers=rounding, dataset=dataset(), weight=1.0)


def test_a_sum_over_the_rows_is_refused(tensorflow):
    with pytest.raises(UserError, match=r"loss\.reduction=sum: step=gradient_penalty"):
        linear(
            GradientPenalty,
            loss=keras.losses.MeanSquaredError(reduction="sum"),
            dataset=dataset(),
            weight=0.3,
        )

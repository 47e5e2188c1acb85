"""The gradient noise scale against the rows' gradients worked out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from src.errors import UserError
from src.steps.gradient_noise_scale import GradientNoiseScale, NoiseScale
from src.steps.standard import Standard
from tests.steps.parts import W, X, Y, linear, residuals


def estimates(gradients):
    """trace(S) and |G|^2 from gradients (rows, weights), by NumPy's own covariance."""
    noise = np.cov(gradients.T, ddof=1).trace()
    return noise, (gradients.mean(axis=0) ** 2).sum() - noise / len(gradients)


def test_of_one_batch_by_hand(tensorflow):
    step = linear(GradientNoiseScale)
    step.train(tf.constant(X), tf.constant(Y))
    # A row's loss is the mean of two squares: its gradient with respect to W is x^T r.
    gradients = np.einsum("ni,nj->nij", X.astype(float), residuals(W)).reshape(3, 4)
    noise, signal = estimates(gradients)
    found = float(step.own_metrics["gradient_noise_scale"].result())
    assert found == pytest.approx(noise / signal if signal > 0 else np.inf, rel=1e-4)
    assert float(step.noise_scale.noise) == pytest.approx(3 * noise, rel=1e-5)
    assert float(step.noise_scale.signal) == pytest.approx(3 * signal, rel=1e-5)


def test_over_many_batches_it_finds_the_scale_of_the_whole(tensorflow):
    generator = np.random.default_rng(0)
    true, deviation = np.array([0.3, -0.4, 0.0]), 0.5  # |G|^2 = 0.25, trace(S) = 3 / 4
    metric = NoiseScale()
    for rows in [16] * 200 + [1]:  # a single row tells nothing, and spoils nothing
        gradients = true + deviation * generator.standard_normal((rows, 3))
        metric.update_state([tf.constant(gradients[:, :2]), None, tf.constant(gradients[:, 2:])])
    assert float(metric.result()) == pytest.approx(3, rel=0.15)
    metric.reset_state()
    assert float(metric.noise) == 0


def test_noise_without_a_gradient_has_no_finite_scale(tensorflow):
    metric = NoiseScale()
    metric.update_state([tf.constant([[1.0], [-1.0]])])
    assert float(metric.result()) == np.inf


def test_the_updates_are_those_of_the_standard_step(tensorflow):
    step, plain = linear(GradientNoiseScale), linear(Standard)
    for one in (step, plain):
        one.train(tf.constant(X), tf.constant(Y))
    np.testing.assert_array_equal(step.model.get_weights()[0], plain.model.get_weights()[0])


def test_a_loss_without_values_for_rows_is_refused(tensorflow):
    with pytest.raises(UserError, match="it needs the loss of each row"):
        linear(GradientNoiseScale, loss=lambda y, p: tf.reduce_mean((y - p) ** 2))

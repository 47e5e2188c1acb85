"""Adversarial training against the attacks written in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.errors import UserError
from src.steps.adversarial import Adversarial
from tests.steps.parts import RATE, W, X, Y, dataset, gradient, linear, others, residuals

FGSM = {
    "epsilon": 0.1,
    "step_size": None,
    "iterations": 1,
    "norm": "linf",
    "clip": None,
    "random_start": False,
    "clean_weight": 0.0,
}


def made(*, layers=(), **changes):
    return linear(Adversarial, layers=layers, dataset=dataset(), **FGSM | changes)


def slopes(x, y):
    """Of the mean squared error with respect to x."""
    return 2 * residuals(W, x, y) @ W.T / y.size


def attacked(step, start=X):
    return step.attack(tf.constant(X), tf.constant(Y), tf.constant(start)).numpy()


def test_one_update_on_rows_moved_by_the_sign_of_their_gradient(tensorflow):
    step = made()
    loss = step.train(tf.constant(X), tf.constant(Y))
    worst = X + 0.1 * np.sign(slopes(X, Y))
    np.testing.assert_allclose(attacked(made()), worst, rtol=1e-6)
    assert float(loss) == pytest.approx((residuals(W, worst) ** 2).mean(), rel=1e-5)
    assert float(loss) > (residuals(W) ** 2).mean() + 0.1
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, W - RATE * gradient(W, worst), rtol=1e-5)
    figures = {name: float(metric.result()) for name, metric in step.reported.items()}
    assert figures == {
        "loss": pytest.approx(float(loss)),
        "error": pytest.approx(np.abs(residuals(W)).mean(), rel=1e-5),
        "robust_loss": pytest.approx(float(loss)),
        "robust_error": pytest.approx(np.abs(residuals(W, worst)).mean(), rel=1e-5),
    }


def test_iterations_by_hand_in_either_norm(tensorflow):
    for norm in ("linf", "l2"):
        found = attacked(made(norm=norm, iterations=3, step_size=0.06))
        worst = X.astype(float)
        for _ in range(3):
            slope = slopes(worst, Y)
            length = np.sqrt((slope**2).sum(axis=1, keepdims=True))
            worst = worst + 0.06 * (np.sign(slope) if norm == "linf" else slope / length)
            change = worst - X
            length = np.sqrt((change**2).sum(axis=1, keepdims=True))
            if norm == "linf":
                worst = X + np.clip(change, -0.1, 0.1)
            else:
                worst = X + change * np.minimum(1, 0.1 / length)
        np.testing.assert_allclose(found, worst, rtol=1e-5)


def test_rows_stay_within_the_clip_range(tensorflow):
    low, high = X.min(axis=0), X.max(axis=0)  # of each feature
    found = attacked(made(clip="data", epsilon=5.0))
    np.testing.assert_array_equal(found, np.where(slopes(X, Y) > 0, high, low))
    found = attacked(made(clip=(-1.0, 3.5), epsilon=5.0))
    np.testing.assert_array_equal(found, np.where(slopes(X, Y) > 0, 3.5, -1.0))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ((0.0, 1.0), "go from -1 to 3 after data.normalisation"),
        ((3.0, -1.0), "less than the second"),
    ],
)
def test_a_clip_range_that_does_not_fit_is_refused(tensorflow, clip, message):
    with pytest.raises(UserError, match=message):
        made(clip=clip)


def test_the_loss_of_the_rows_as_they_are_may_count_too(tensorflow):
    step = made(clean_weight=0.25)
    loss = step.train(tf.constant(X), tf.constant(Y))
    worst = X + 0.1 * np.sign(slopes(X, Y))
    clean, robust = ((residuals(W, x) ** 2).mean() for x in (X, worst))
    assert float(loss) == pytest.approx(0.25 * clean + 0.75 * robust, rel=1e-5)
    assert float(step.own_metrics["robust_loss"].result()) == pytest.approx(robust, rel=1e-5)
    [weights] = step.model.get_weights()
    expected = 0.25 * gradient(W) + 0.75 * gradient(W, worst)
    np.testing.assert_allclose(weights, W - RATE * expected, rtol=1e-5)


def test_validation_attacks_from_the_rows_themselves_and_changes_metrics_alone(tensorflow):
    step = made(random_start=True, layers=[keras.layers.Dropout(0.5)])
    before = {**others(step), "start": step.random.state.numpy()}
    step.evaluate(tf.constant(X), tf.constant(Y))
    worst = X + 0.1 * np.sign(slopes(X, Y))
    found = {name: float(metric.result()) for name, metric in step.reported.items()}
    assert found["loss"] == pytest.approx((residuals(W) ** 2).mean(), rel=1e-5)
    assert found["robust_loss"] == pytest.approx((residuals(W, worst) ** 2).mean(), rel=1e-5)
    after = {**others(step), "start": step.random.state.numpy()}
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name])


def test_random_starts_fill_the_space_within_epsilon(tensorflow):
    x = tf.zeros([4000, 3])
    for norm, mean in (("linf", 0.05), ("l2", None)):
        step = made(norm=norm, random_start=True)
        start = step.start(x).numpy()
        assert not np.array_equal(start, step.start(x).numpy())
        assert [variable is step.random.state for variable in step.state["adversarial"]] == [True]
        if norm == "linf":
            assert np.abs(start).max() <= 0.1
            assert np.abs(start).mean() == pytest.approx(mean, rel=0.02)
        else:
            radius = np.sqrt((start**2).sum(axis=1))
            assert radius.max() <= 0.1 * (1 + 1e-5)
            # Within half the radius lies an eighth of a ball of three dimensions.
            assert (radius < 0.05).mean() == pytest.approx(1 / 8, abs=0.02)
            assert np.abs(start.mean(axis=0)).max() < 0.005
    assert made().state["adversarial"] == []


def test_the_attack_sees_the_model_as_in_inference(tensorflow):
    step = made(layers=[keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)])
    before = others(step)
    attacked(step)
    for path, value in others(step).items():
        np.testing.assert_array_equal(value, before[path])


def test_a_row_that_lies_outside_the_range_already_stays_where_it_is(tensorflow):
    """Rows of validation may; without a radius nothing is moved."""
    step, outside = made(clip="data", epsilon=0.0), tf.constant(10 * X)
    np.testing.assert_array_equal(step.attack(outside, tf.constant(Y), outside), outside)

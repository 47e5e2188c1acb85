"""Mixup against the rule written in NumPy, and the numbers that it draws."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from src.data.dataset import Dataset, Split
from src.errors import UserError
from src.steps.mixup import Mixup, symmetric_beta
from tests.steps.parts import RATE, W, X, Y, dataset, gradient, linear, residuals

PARTNER = np.array([2, 0, 1])


@pytest.fixture
def fixed(monkeypatch):
    """A share of 0.25 for the rows themselves, 0.75 for their partners."""
    drawn = (tf.constant(0.25), tf.constant(PARTNER, tf.int32))
    monkeypatch.setattr(Mixup, "draw", lambda *_: drawn)


@pytest.mark.usefixtures("fixed")
def test_one_update_by_hand(tensorflow):
    step = linear(Mixup, dataset=dataset(), alpha=1.0)
    loss = step.train(tf.constant(X), tf.constant(Y))
    x, y = 0.25 * X + 0.75 * X[PARTNER], 0.25 * Y + 0.75 * Y[PARTNER]
    assert float(loss) == pytest.approx((residuals(W, x, y) ** 2).mean(), rel=1e-6)
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, W - RATE * gradient(W, x, y), rtol=1e-5)
    error = np.abs(residuals(W, x, y)).mean()
    assert float(step.metrics["error"].result()) == pytest.approx(error, rel=1e-6)


@pytest.mark.usefixtures("fixed")
def test_of_integer_labels_the_losses_are_mixed(tensorflow):
    labels = np.array([0, 1, 1], np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = linear(Mixup, loss=loss, dataset=dataset(y=labels, labels="integer"), alpha=1.0)
    step.metrics["error"] = keras.metrics.SparseCategoricalAccuracy()
    found = step.train(tf.constant(X), tf.constant(labels))

    x = 0.25 * X + 0.75 * X[PARTNER]
    logits = x.astype(float) @ W
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares = 0.25 * np.eye(2)[labels] + 0.75 * np.eye(2)[labels[PARTNER]]
    assert float(found) == pytest.approx(-(shares * np.log(probabilities)).sum(axis=1).mean())
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, W - RATE * x.T @ (probabilities - shares) / 3, rtol=1e-5)
    right = (logits.argmax(axis=1) == labels[PARTNER]).mean()  # theirs is the greater share
    assert float(step.metrics["error"].result()) == pytest.approx(right)


def test_validation_mixes_nothing(tensorflow):
    step = linear(Mixup, dataset=dataset(), alpha=1.0)
    before = step.random.state.numpy()
    step.evaluate(tf.constant(X), tf.constant(Y))
    assert float(step.metrics["loss"].result()) == pytest.approx((residuals(W) ** 2).mean())
    np.testing.assert_array_equal(step.random.state.numpy(), before)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_a_beta_distribution(tensorflow, alpha):
    u, v = np.random.default_rng(0).random((2, 20_000))
    found = symmetric_beta(tf.constant(u), tf.constant(v), alpha).numpy()
    assert found.min() >= 0
    assert found.max() <= 1
    assert scipy.stats.kstest(found, scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("u", [0.0, 1e-7, 1 - 1e-7])
@pytest.mark.parametrize("alpha", [1e-3, 100.0])
def test_no_share_is_nan(tensorflow, u, alpha):
    for v in (0.0, 0.25, 0.5, 1 - 1e-7):
        assert 0 <= float(symmetric_beta(tf.constant(u), tf.constant(v), alpha)) <= 1


def test_partners_are_a_permutation_that_the_seed_and_the_update_decide(tensorflow):
    def drawn(seed):
        step = linear(Mixup, seed=seed, dataset=dataset(), alpha=0.4)
        return [
            (float(s), p.numpy().tolist()) for s, p in (step.draw(50, tf.float32) for _ in "ab")
        ]

    first, second = drawn(0)
    assert sorted(first[1]) == list(range(50))
    assert first != second
    assert drawn(0) == [first, second]
    assert drawn(1) != [first, second]


def test_the_random_stream_is_part_of_the_state(tensorflow):
    step = linear(Mixup, dataset=dataset(), alpha=0.4)
    [stream] = step.state["mixup"]
    before = stream.numpy()
    step.train(tf.constant(X), tf.constant(Y))
    assert not np.array_equal(stream.numpy(), before)


def test_numbers_of_words_are_not_mixed(tensorflow):
    words = keras.Sequential(
        [keras.Input((2,)), keras.layers.Embedding(9, 2), keras.layers.Flatten()]
    )
    rows = Split(np.array([[1, 2]], np.float32), np.array([1], np.int32))
    text = Dataset("text", rows, rows, None, 4, "integer", (), "", "")
    with pytest.raises(UserError, match="step=mixup: the model's predictions have no derivative"):
        Mixup(words, None, None, {}, text, 0.2)

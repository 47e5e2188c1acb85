"""Cross-entropy of integer labels with label smoothing, against hand and against Keras."""

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.losses.sparse_categorical_crossentropy import SparseCategoricalCrossentropy
from src.targets import call

LABELS = np.array([0, 2, 1, 2])
LOGITS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def loss(smoothing=0.0, from_logits=True, reduction="sum_over_batch_size"):
    return SparseCategoricalCrossentropy(
        from_logits=from_logits, label_smoothing=smoothing, reduction=reduction
    )


def test_by_hand():
    # Probabilities (1/4, 3/4), label 0, s = 0.2: shares 0.9 and 0.1.
    logits = np.log(np.array([[0.25, 0.75]], np.float32))
    expected = -(0.9 * np.log(0.25) + 0.1 * np.log(0.75))
    np.testing.assert_allclose(loss(0.2)(np.array([0]), logits), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(0.0)(np.array([0]), logits), -np.log(0.25), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
def test_equals_keras_on_one_hot_labels(smoothing, from_logits, reduction):
    predictions = LOGITS if from_logits else np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    dense = keras.losses.CategoricalCrossentropy(
        from_logits=from_logits, label_smoothing=smoothing, reduction=reduction
    )
    np.testing.assert_allclose(
        loss(smoothing, from_logits, reduction)(LABELS, predictions),
        dense(np.eye(3)[LABELS], predictions),
        rtol=1e-5,
    )


def test_weights_of_rows():
    weights = np.array([1.0, 0.0, 2.0, 1.0])
    rows = np.asarray(loss(0.1, reduction="none")(LABELS, LOGITS))
    weighted = loss(0.1)(LABELS, LOGITS, sample_weight=weights)
    np.testing.assert_allclose(weighted, (rows * weights).sum() / 4, rtol=1e-6)


def test_large_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0.0]], np.float32)
    smoothed = loss(0.3)(np.array([0]), logits)
    np.testing.assert_allclose(smoothed, 0.1 * (2e4 + 1e4), rtol=1e-6)


def test_its_configuration_makes_it_again():
    again = keras.losses.deserialize(keras.losses.serialize(loss(0.1)))
    assert isinstance(again, SparseCategoricalCrossentropy)
    assert again.get_config() == loss(0.1).get_config()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"label_smoothing": 1.0}, r"loss\.label_smoothing=1\.0"),
        ({"label_smoothing": -0.1}, r"loss\.label_smoothing=-0\.1"),
        ({"from_logits": "perhaps"}, r"loss\.from_logits=perhaps"),
        ({"reduction": "median"}, r"loss\.reduction=median"),
        ({"smoothing": 0.1}, r"loss\.smoothing.*label_smoothing"),
    ],
)
def test_mistakes_name_the_key(keys, message):
    values = {"from_logits": True, "label_smoothing": 0.0, "reduction": "sum_over_batch_size"}
    with pytest.raises(UserError, match=message):
        call(SparseCategoricalCrossentropy, {**values, **keys}, key="loss")

"""The perceptron: the notes' model, computed beside it in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.models.mlp import MLP
from src.targets import call

NOTES: dict[str, Any] = {"num_classes": 10, "hidden": [32], "activation": "relu", "dropout": 0.0}
X = np.random.default_rng(0).random((5, 32), dtype=np.float32)


def test_equals_the_notes_model_in_numpy():
    model = MLP(**NOTES)
    logits = model(X)
    kernel, bias, kernel_out, bias_out = model.get_weights()
    assert (kernel.shape, kernel_out.shape) == ((32, 32), (32, 10))
    expected = np.maximum(X @ kernel + bias, 0) @ kernel_out + bias_out
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_draws_the_weights_of_the_notes_model():
    keras.utils.set_random_seed(3)
    model = MLP(**NOTES)
    model.build((None, 32))
    keras.utils.set_random_seed(3)
    plain = keras.Sequential(
        [keras.Input((32,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)]
    )
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_names_are_stable():
    keras.utils.clear_session()
    for _ in range(2):
        model = MLP(**{**NOTES, "hidden": [4, 3], "dropout": 0.1})
        model.build((None, 2, 2))
        assert [v.path for v in model.trainable_variables] == [
            "mlp/dense_1/kernel",
            "mlp/dense_1/bias",
            "mlp/dense_2/kernel",
            "mlp/dense_2/bias",
            "mlp/logits/kernel",
            "mlp/logits/bias",
        ]


def test_without_hidden_layers_it_is_linear():
    model = MLP(**{**NOTES, "hidden": []})
    logits = np.asarray(model(X))
    np.testing.assert_allclose(model(2 * X), 2 * logits, rtol=1e-5)  # biases start at 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"activation": "rellu"}, r"model\.activation=rellu: Keras has no such activation; it has"),
        ({"activation": ""}, r"model\.activation="),
        ({"hidden": [0]}, r"model\.hidden.*=0"),
        ({"hidden": 32}, r"model\.hidden=32"),
        ({"dropout": 1.0}, r"model\.dropout=1\.0"),
        ({"dropout": -0.1}, r"model\.dropout=-0\.1"),
        ({"num_classes": 0}, r"model\.num_classes=0"),
        ({"width": 3}, r"model\.width"),
    ],
)
def test_mistakes_name_the_key(keys, message):
    with pytest.raises(UserError, match=message):
        call(MLP, {**NOTES, **keys}, key="model")

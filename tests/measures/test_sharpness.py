"""Sharpness against the closed form of a linear model's Hessian."""

import keras
import numpy as np
import pytest

from src.measures.sharpness import sharpness
from tests.steps.parts import W, X, Y


def test_of_a_linear_model(tensorflow):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([W])
    found = sharpness(model, keras.losses.MeanSquaredError(), X, Y, iterations=40)
    # The mean over rows and two outputs of squares: H = 2 / (3 * 2) X^T X for each output.
    expected = np.linalg.eigvalsh(2 / 6 * X.T.astype(float) @ X)[-1]
    assert found == pytest.approx(expected, rel=1e-4)


def test_of_a_network_against_differences_of_its_gradient(tensorflow):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)]
    )
    loss = keras.losses.MeanSquaredError()

    def gradient(flat):
        weights, start = [], 0
        for variable in model.trainable_variables:
            size = int(np.prod(variable.shape))
            weights.append(flat[start : start + size].reshape(variable.shape))
            start += size
        model.set_weights(weights)
        with tensorflow.GradientTape() as tape:
            value = loss(Y, model(X))
        found = tape.gradient(value, [v.value for v in model.trainable_variables])
        return np.concatenate([np.ravel(part) for part in found]).astype(float)

    here = np.concatenate([np.ravel(weights) for weights in model.get_weights()])
    hessian = np.stack(
        [(gradient(here + 1e-2 * e) - gradient(here - 1e-2 * e)) / 2e-2 for e in np.eye(len(here))]
    )
    gradient(here)  # the weights as they were
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    expected = max(values, key=abs)
    assert sharpness(model, loss, X, Y, iterations=100) == pytest.approx(expected, rel=1e-2)

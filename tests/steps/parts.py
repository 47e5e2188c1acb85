"""What tests of steps share: a linear model whose every gradient is short to write down."""

from typing import Any

import keras
import numpy as np

from src.data.dataset import Dataset, Split

X = np.array([[1, 2], [3, -1], [0.5, 1]], np.float32)  # three rows of two features
Y = np.array([[1, 0], [2, 1], [0, -1]], np.float32)  # two outputs
W = np.array([[0.5, -1], [2, 0.25]], np.float32)
RATE = 0.5


def dataset(x: np.ndarray = X, y: np.ndarray = Y, labels: Any = "real") -> Dataset:
    split = Split(x, y)
    return Dataset("rows", split, split, None, 2, labels, (), "here", "")


def linear(
    kind: Any, *, layers: Any = (), loss: Any = None, seed: int = 0, **arguments: Any
) -> Any:
    """A step over predictions x @ W; the loss is the mean square over rows and outputs."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.layers.Input((2,)), keras.layers.Dense(2, use_bias=False, name="linear"), *layers]
    )
    model.layers[0].set_weights([W])
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(model.trainable_variables)
    metrics = {
        "loss": keras.metrics.Mean(name="loss"),
        "error": keras.metrics.MeanAbsoluteError(),
    }
    return kind(model, optimizer, loss or keras.losses.MeanSquaredError(), metrics, **arguments)


def residuals(w: np.ndarray, x: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    """Predictions less labels, float64."""
    return x.astype(float) @ w - y


def gradient(w: np.ndarray, x: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    """Of the mean squared error with respect to w."""
    return 2 * x.astype(float).T @ residuals(w, x, y) / y.size


def others(step: Any) -> dict[str, np.ndarray]:
    """What training changes of the model beside its weights."""
    return {v.path: v.numpy() for v in step.model.non_trainable_variables}

"""Each loss in conf/loss builds and gives the value computed by hand."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from src.targets import call, locate

FOLDER = Path("conf/loss")


def configured(name, **keys):
    values = {**yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), **keys}
    return call(locate(values.pop("_target_"), "loss._target_"), values, key="loss")


# Two rows; the logits are log probabilities, so that cross-entropies can be read off.
PROBABILITIES = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32)
BY_HAND: dict[str, tuple[np.ndarray, np.ndarray, float]] = {
    "sparse_categorical_crossentropy": (
        np.array([0, 1]),
        np.log(PROBABILITIES),
        np.log([2, 10]).mean(),
    ),
    "categorical_crossentropy": (
        np.array([[0.5, 0.5, 0], [0, 1, 0]], np.float32),
        np.log(PROBABILITIES),
        np.mean([0.5 * np.log(2) + 0.5 * np.log(4), np.log(10)]),
    ),
    "mean_squared_error": (
        np.array([[1.0], [2]], np.float32),
        np.array([[1.5], [5]], np.float32),
        (0.25 + 9) / 2,
    ),
    "huber": (
        np.array([[1.0], [2]], np.float32),
        np.array([[1.5], [5]], np.float32),
        (0.125 + 2.5) / 2,
    ),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_value_by_hand(name):
    labels, predictions, expected = BY_HAND[name]
    np.testing.assert_allclose(configured(name)(labels, predictions), expected, rtol=1e-6)


def test_the_notes_mistake_can_be_configured():
    """Logits taken for probabilities: Keras divides by their sum, then takes the logarithm."""
    loss = configured("categorical_crossentropy", from_logits=False)
    logits, labels = np.array([[1.0, 3.0]], np.float32), np.array([[1.0, 1.0]], np.float32)
    expected = -np.log(1 / 4) - np.log(3 / 4)
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-6)

"""Each optimizer in conf/optimizer builds, follows its rule, and learns the digits."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from src.data.load import load
from src.losses.sparse_categorical_crossentropy import SparseCategoricalCrossentropy
from src.models.cnn import CNN
from src.models.linear import Linear
from src.models.mlp import MLP
from src.targets import call, locate

FOLDER = Path("conf/optimizer")
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
BATCH = 64


def configured(name, **keys):
    values = {**yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), **keys}
    return call(locate(values.pop("_target_"), "optimizer._target_"), values, key="optimizer")


@pytest.fixture(scope="module")
def digits():
    config: dict[str, Any] = yaml.safe_load(Path("conf/data/digits.yaml").read_text())
    return load(config, seed=0)


def validation_accuracy(digits, model, optimizer, epochs):
    """Train in the plainest way there is, independent of the harness' own programs."""
    model.build((None, *digits.input_shape))
    optimizer.build(model.trainable_variables)
    loss = SparseCategoricalCrossentropy(True, 0.0, "sum_over_batch_size")
    x, y = tf.constant(digits.train.x), tf.constant(digits.train.y)

    @tf.function
    def epoch(order):
        for start in tf.range(0, digits.train_rows, BATCH):
            rows = order[start : start + BATCH]
            with tf.GradientTape() as tape:
                value = loss(tf.gather(y, rows), model(tf.gather(x, rows), training=True))
            gradients = tape.gradient(value, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)

    shuffle = np.random.default_rng(0)
    for _ in range(epochs):
        epoch(tf.constant(shuffle.permutation(digits.train_rows)))
    assert all(np.isfinite(value).all() for value in model.get_weights())
    predictions = np.asarray(model(digits.val.x, training=False))
    return (predictions.argmax(axis=1) == digits.val.y).mean()


def test_the_issue_names_these():
    expected = "adafactor adam adamw lion momentum muon nesterov rmsprop sgd"
    assert expected.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_learns_the_digits_in_the_default_number_of_epochs(digits, name):
    epochs = yaml.safe_load(Path("conf/config.yaml").read_text())["epochs"]
    keras.utils.set_random_seed(0)
    model = MLP(num_classes=10, hidden=[32], activation="relu", dropout=0.0)
    assert validation_accuracy(digits, model, configured(name), epochs) >= 0.95


def test_the_convolutional_network_learns_more(digits):
    keras.utils.set_random_seed(0)
    keys = yaml.safe_load(Path("conf/model/cnn.yaml").read_text())
    del keys["_target_"]
    model = CNN(num_classes=10, **keys)
    assert validation_accuracy(digits, model, configured("adam"), 10) >= 0.97


def test_the_linear_model_learns_nearly_as_much(digits):
    keras.utils.set_random_seed(0)
    assert validation_accuracy(digits, Linear(num_classes=10), configured("sgd"), 30) >= 0.95


def updated(name, gradients, start=2.0, **keys):
    """A weight (a matrix of one element) after an update with each of the gradients."""
    weight = keras.Variable([[start]])
    optimizer = configured(name, **keys)
    optimizer.build([weight])
    values = []
    for gradient in gradients:
        optimizer.apply([tf.constant([[gradient]])], [weight])
        values.append(float(np.asarray(weight).item()))
    return values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # learning rate 0.5, gradients 1 and 1, weight 2
        ("sgd", [1.5, 1.0]),
        ("momentum", [1.5, 1.5 - 0.5 * 1.9]),  # velocity 1, then 0.9 * 1 + 1
        ("nesterov", [2 - 0.5 * 1.9, 1.05 - 0.5 * (0.9 * 1.9 + 1)]),  # one momentum step ahead
        ("rmsprop", [2 - 0.5 / 0.1**0.5, 2 - 0.5 / 0.1**0.5 - 0.5 / 0.19**0.5]),
        ("adam", [1.5, 1.0]),  # equal gradients: the corrected ratio of moments is 1
        ("lion", [1.5, 1.0]),  # the sign alone
    ],
)
def test_rule_by_hand(name, expected):
    values = updated(name, [1.0, 1.0], learning_rate=0.5)
    np.testing.assert_allclose(values, expected, rtol=1e-4)  # epsilon shifts them by 1e-5


def test_adamw_decays_weights_apart_from_the_gradient():
    # 2 * (1 - 0.5 * 0.1) = 1.9, then Adam's step of 0.5
    values = updated("adamw", [1.0], learning_rate=0.5, weight_decay=0.1)
    np.testing.assert_allclose(values, [1.4], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_of_every_optimizer_is_decoupled(name):
    # Without a gradient nothing but the decay is left: 2 * (1 - 0.5 * 0.1)
    values = updated(name, [0.0], learning_rate=0.5, weight_decay=0.1)
    np.testing.assert_allclose(values, [1.9], rtol=1e-5)


def test_muon_moves_matrices_by_an_orthogonal_one():
    """Singular values of the gradient 5 and 0.01 leave next to no trace in the update."""
    weight = keras.Variable(np.zeros((2, 2), np.float32), name="kernel")
    optimizer = configured("muon", learning_rate=1.0, weight_decay=None, rms_rate=None)
    optimizer.build([weight])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]], np.float32)
    optimizer.apply([tf.constant(turn @ np.diag([5.0, 0.5]).astype(np.float32))], [weight])
    singular = np.linalg.svd(np.asarray(weight), compute_uv=False)
    assert ((singular > 0.6) & (singular < 1.3)).all()  # Jordan's coefficients aim at 0.7 to 1.2


def test_muon_leaves_the_output_layer_to_adam():
    model = MLP(num_classes=2, hidden=[3], activation="relu", dropout=0.0)
    model.build((None, 4))
    optimizer = configured("muon")
    optimizer.build(model.trainable_variables)
    by_adam = [v.path for v in model.trainable_variables if optimizer._should_use_adamw(v)]
    assert by_adam == ["mlp/dense_1/bias", "mlp/logits/kernel", "mlp/logits/bias"]


def test_adafactor_survives_a_dead_pixel_and_a_dead_unit():
    """With Keras' own epsilon_1 this update is NaN; see conf/optimizer/adafactor.yaml."""
    gradient = np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)

    def after(**keys):
        weight = keras.Variable(np.ones((2, 2), np.float32))
        optimizer = configured("adafactor", **keys)
        optimizer.build([weight])
        optimizer.apply([tf.constant(gradient)], [weight])
        return np.asarray(weight)

    assert np.isfinite(after()).all()
    assert np.isnan(after(epsilon_1=1e-30)).any()

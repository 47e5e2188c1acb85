"""The gradient check on steps whose gradients are right, wrong, missing or not to be checked."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.errors import UserError
from src.steps.standard import Standard
from src.tape import check, precision, subject
from src.tape.recorder import GradientRecorder


@tf.custom_gradient
def square_with_half_its_gradient(x):
    return x * x, lambda upstream: upstream * x


@keras.saving.register_keras_serializable(package="test_check")
class WrongSquare(keras.layers.Layer):
    """A user's own layer, whose author forgot a factor of 2."""

    def call(self, inputs):
        return square_with_half_its_gradient(inputs)


class Reversed(Standard):
    """Goes uphill."""

    def train(self, x, y):
        apply = self.optimizer.apply
        self.optimizer.apply = lambda gradients, variables: apply(
            [-gradient for gradient in gradients], variables
        )
        loss = super().train(x, y)
        self.optimizer.apply = apply
        return loss


class LastLayerOnly(Standard):
    """Hands over TensorFlow's own variables, and only those of the last layer."""

    def train(self, x, y):
        weights = self.weights[-2:]
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.model(x, training=True))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss


class Twice(Standard):
    def train(self, x, y):
        super().train(x, y)
        return super().train(x, y)


class Restless(Standard):
    """Draws from TensorFlow's own stream of random numbers, which no state holds."""

    def train(self, x, y):
        return super().train(x + tf.random.normal(tf.shape(x), dtype=x.dtype), y)


@pytest.fixture(autouse=True)
def float64(tensorflow):
    with precision.precision("float64"):
        yield


def made(*layers, step=Standard, gradient="step", seed=0):
    """A step over a model of these layers between 3 features and 4 classes, on 5 rows."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((3,)), *layers, keras.layers.Dense(4, name="logits")], name="net"
    )
    optimizer = GradientRecorder(1.0)
    optimizer.build(model.trainable_variables)
    built = step(
        model,
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        {"loss": keras.metrics.Mean()},
    )
    generator = np.random.default_rng(seed)
    x, y = generator.random((5, 3)), generator.integers(0, 4, 5)
    return subject.make(built, tf.constant(x), tf.constant(y), gradient)


def checked(made_subject, entries=100, tolerance=1e-4):
    return {row.name: row for row in check.run(made_subject, entries, 0, tolerance)}


@pytest.mark.parametrize("gradient", ["step", "loss"])
def test_right_gradients_agree(gradient):
    rows = checked(made(keras.layers.Dense(6, "tanh", name="hidden"), gradient=gradient))

    assert list(rows) == [
        "net/hidden/kernel",
        "net/hidden/bias",
        "net/logits/kernel",
        "net/logits/bias",
    ]
    assert max(row.error for row in rows.values()) < 1e-6
    assert [row.entries for row in rows.values()] == [18, 6, 24, 4]


def test_what_the_tape_says_is_the_gradient_worked_out_by_hand():
    made_subject = made()
    x, y = made_subject.x.numpy(), made_subject.y.numpy()
    kernel, bias = (v.numpy() for v in made_subject.step.model.trainable_variables)

    found = made_subject.gradients()

    logits = x @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = x.T @ (probabilities - np.eye(4)[y]) / 5  # of the mean cross-entropy
    np.testing.assert_allclose(found["net/logits/kernel"], expected, rtol=1e-12)


@pytest.mark.parametrize("gradient", ["step", "loss"])
def test_a_layer_with_a_wrong_custom_gradient_is_caught(gradient):
    rows = checked(
        made(keras.layers.Dense(6, name="before"), WrongSquare(), gradient=gradient), entries=5
    )

    assert rows["net/before/kernel"].error == pytest.approx(0.5, rel=1e-3)
    assert rows["net/before/bias"].error == pytest.approx(0.5, rel=1e-3)
    assert rows["net/logits/kernel"].error < 1e-6  # behind the layer all is well
    worst = rows["net/before/kernel"]
    gradients = made(keras.layers.Dense(6, name="before"), WrongSquare()).gradients()
    assert worst.worst.tape == gradients["net/before/kernel"][worst.index]


def test_gradients_that_a_step_changes_are_caught_and_the_loss_alone_agrees():
    assert all(row.error == pytest.approx(2) for row in checked(made(step=Reversed)).values())
    alone = checked(made(step=Reversed, gradient="loss"))
    assert max(row.error for row in alone.values()) < 1e-6


def test_dropout_and_batch_normalisation_are_checked_in_training_mode():
    layers = (
        keras.layers.Dense(8, name="hidden"),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("relu"),
        keras.layers.Dropout(0.5, seed=3),
    )
    made_subject = made(*layers)

    assert max(row.error for row in checked(made_subject).values()) < 1e-4
    # Only in training mode is the batch's own mean subtracted, and the bias with it.
    assert abs(made_subject.gradients()["net/hidden/bias"]).max() < 1e-12


def test_a_missing_gradient_is_caught():
    rows = checked(
        made(keras.layers.Dense(6, name="cut_off"), keras.layers.Lambda(tf.stop_gradient))
    )

    assert not rows["net/cut_off/kernel"].connected
    assert rows["net/cut_off/kernel"].error == 1.0
    assert rows["net/logits/kernel"].connected


def test_variables_that_the_step_leaves_alone_are_not_checked():
    rows = checked(made(keras.layers.Dense(6, name="frozen"), step=LastLayerOnly))

    assert [row.trained for row in rows.values()] == [False, False, True, True]
    assert rows["net/frozen/kernel"].entries == 0
    assert max(row.error for row in rows.values()) < 1e-6


def test_the_weights_and_all_other_state_end_as_they_were():
    made_subject = made(keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=1))
    before = [v.numpy() for v in made_subject.step.model.trainable_variables]
    loss = made_subject.loss()

    checked(made_subject)

    for variable, value in zip(made_subject.step.model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert made_subject.loss() == loss


class Displaced(Standard):
    """Differentiates at the weights and a hundredth of them, which it takes for a constant."""

    holds, names = True, True

    def train(self, x, y):
        step = [0.01 * weight for weight in self.weights]
        step = self.held(step) if self.holds else step
        moved = [weight + one for weight, one in zip(self.weights, step, strict=True)]
        values = list(zip(self.model.trainable_variables, moved, strict=True))
        with keras.StatelessScope(values), tf.GradientTape() as tape:
            tape.watch(moved)
            loss = self.loss(y, self.model(x, training=True))
        self.apply_gradients(tape.gradient(loss, moved))
        return self.minimised(loss) if self.names else loss * 0 + 1


def test_what_a_step_holds_stays_where_it_was_at_the_gradient():
    made_subject = made(keras.layers.Dense(6, "tanh"), step=Displaced)
    assert max(row.error for row in checked(made_subject).values()) < 1e-6
    variable = made_subject.step.model.trainable_variables[0]
    variable.assign(variable * 2)
    made_subject.gradients()  # holds those of the new weights
    assert max(row.error for row in checked(made_subject).values()) < 1e-6


@pytest.mark.parametrize("changes", [{"holds": False}, {"names": False}])
def test_what_a_step_does_not_tell_is_caught(changes):
    rows = checked(made(keras.layers.Dense(6, "tanh"), step=type("Silent", (Displaced,), changes)))
    # 1.01 ** 2 of the curvature and 1.01 of the slope are missing from the gradient.
    assert min(row.error for row in rows.values()) > 5e-3


def test_layers_of_one_name_are_told_apart():
    rows = checked(
        made(
            keras.Sequential([keras.layers.Dense(3, name="twin")], name="pair"),
            keras.Sequential([keras.layers.Dense(3, name="twin")], name="pair_2"),
        )
    )

    assert len(rows) == 6


def test_a_step_that_applies_gradients_twice_is_refused():
    with pytest.raises(UserError, match=r"calls its optimizer 2 times .* check.gradient=loss"):
        checked(made(step=Twice))


def test_a_loss_that_varies_at_equal_weights_is_refused():
    tf.random.set_seed(0)

    with pytest.raises(UserError, match="two losses at equal weights differ"):
        checked(made(step=Restless))


def test_a_loss_that_is_not_finite_is_refused():
    made_subject = made()

    with pytest.raises(UserError, match="loss: it is nan on this batch"):
        check.run(replace(made_subject, loss=lambda: float("nan")), 5, 0, 1e-4)


def test_half_of_the_entries_are_those_with_the_greatest_gradients():
    gradient = np.zeros(100)
    gradient[[17, 60]] = -2.0, 1.0

    chosen = check.choose(gradient, 4, np.random.default_rng(0))

    assert chosen[:2] == [17, 60]
    assert len(set(chosen)) == 4
    assert chosen == check.choose(gradient, 4, np.random.default_rng(0))
    assert check.choose(gradient, 200, np.random.default_rng(0)) == list(range(100))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_variable_of_another_precision_is_refused(dtype):
    other = "float64" if dtype == "float32" else "float32"
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=other)], name="net")

    with pytest.raises(UserError, match=rf"variable net/dense/kernel is {other}, not {dtype}"):
        precision.check(model, dtype)


def test_only_complaints_about_types_are_explained():
    with (
        pytest.raises(UserError, match=r"float but is double.*check.dtype=float32"),
        precision.explained("float64"),
    ):
        raise TypeError("\x1b[1mtrouble:\nfloat but is double\x1b[0m")
    with pytest.raises(TypeError, match="something else"), precision.explained("float64"):
        raise TypeError("something else")
    with pytest.raises(TypeError, match="double"), precision.explained("float32"):
        raise TypeError("double")


def test_precision_is_put_back():
    with precision.precision("float32"):
        assert keras.layers.Dense(1).variable_dtype == "float32"
    assert keras.config.floatx() == "float64"
    assert keras.layers.Dense(1).variable_dtype == "float64"

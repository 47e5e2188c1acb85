"""A loss whose rows weigh as much as their classes: by hand, and as a key of the configuration."""

import keras
import numpy as np
import pytest

from src import programs
from src.engine.export import activation_of
from src.errors import UserError
from src.job import load_data
from src.losses.class_weighted import ClassWeighted
from src.losses.sparse_categorical_crossentropy import SparseCategoricalCrossentropy
from tests.engine.members import train

PROBABILITIES = np.array([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]], np.float32)
WEIGHTS = [1.0, 3.0]


@pytest.mark.parametrize(
    ("inner", "labels"),
    [
        (SparseCategoricalCrossentropy(False, 0.0, "sum_over_batch_size"), [0, 1, 1]),
        (keras.losses.SparseCategoricalCrossentropy(), [0, 1, 1]),
        (keras.losses.CategoricalCrossentropy(), [[1, 0], [0, 1], [0, 1]]),
    ],
)
def test_by_hand(tensorflow, inner, labels):
    loss = ClassWeighted(inner, WEIGHTS)
    rows = np.array([np.log(2), 3 * np.log(4 / 3), 3 * np.log(2)])
    y = np.array(labels, np.int32 if np.ndim(labels) == 1 else np.float32)
    np.testing.assert_allclose(loss.call(y, PROBABILITIES), rows, rtol=1e-6)
    assert float(loss(y, PROBABILITIES)) == pytest.approx(rows.mean())


def test_soft_labels_weigh_as_their_shares(tensorflow):
    loss = ClassWeighted(keras.losses.MeanSquaredError(), WEIGHTS)
    y, predictions = np.array([[0.25, 0.75]], np.float32), np.array([[0.25, 0.0]], np.float32)
    # (0.75^2 / 2) times 0.25 * 1 + 0.75 * 3
    assert float(loss(y, predictions)) == pytest.approx(0.28125 * 2.5)


def test_metrics_stay_as_they_are_and_the_loss_is_weighted_in_validation_too(
    configured, tiny, pictures, tensorflow
):
    given = ("data=arrays", f"data.path={pictures}", "data.batch_size=8", "model=linear")
    found = []
    for weights in ("null", "[1,1,1]", "[2,2,2]"):
        config = configured(*tiny(*given, f"loss.class_weights={weights}"))
        dataset, _ = load_data(config)
        program = programs.compiled([config], dataset)
        found.append(program.evaluate(dataset.val)[0])
    assert found[0] == found[1]
    assert found[2]["loss"] == pytest.approx(2 * found[0]["loss"])
    assert found[2]["accuracy"] == found[0]["accuracy"]


def test_fused_members_may_differ_in_what_the_loss_inside_declares(
    configured, tiny, pictures, tensorflow
):
    given = ("data=arrays", f"data.path={pictures}", "data.batch_size=8", "model=linear")
    made = [
        configured(*tiny(*given, "loss.class_weights=balanced", f"loss.label_smoothing={value}"))
        for value in (0.0, 0.2)
    ]
    dataset, _ = load_data(made[0])
    losses, _ = train(programs.compiled(made, dataset, force=True), made, dataset, epochs=1)
    for member, config in enumerate(made):
        alone, _ = train(programs.compiled([config], dataset), [config], dataset, epochs=1)
        np.testing.assert_allclose(losses[:, member], alone[:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("even", "loss.class_weights=even"),
        ("[1,-1]", "loss.class_weights=[1.0, -1.0]: each should be finite and not negative"),
        ("[0,0]", "loss.class_weights=[0.0, 0.0]: one at least should be greater than 0"),
        ("3", "loss.class_weights=3"),
    ],
)
def test_wrong_values_are_refused(composed, value, said):
    from src.config import validate

    with pytest.raises(UserError) as raised:
        validate(composed(f"loss.class_weights={value}"))
    assert str(raised.value).startswith(said)


def test_a_number_of_weights_that_does_not_fit_is_refused_before_tensorflow(configured, tiny):
    with pytest.raises(UserError, match=r"^loss\.class_weights: 2 weights for the 4 classes"):
        load_data(configured(*tiny("loss.class_weights=[1,1]")))


@pytest.mark.parametrize(
    ("inner", "activation"),
    [
        (SparseCategoricalCrossentropy(True, 0.0, "sum_over_batch_size"), "softmax"),
        (keras.losses.BinaryCrossentropy(from_logits=True), "sigmoid"),
        (keras.losses.CategoricalCrossentropy(), "linear"),
        (keras.losses.MeanSquaredError(), "linear"),
    ],
)
def test_the_outputs_mean_what_they_mean_without_weights(tensorflow, inner, activation):
    assert activation_of(ClassWeighted(inner, WEIGHTS)) == activation_of(inner) == activation

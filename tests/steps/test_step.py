"""What every step shares: which variables are its state, and how metrics are weighted."""

import keras
import numpy as np
import pytest

from src.steps.standard import Standard
from src.steps.step import Step


def make(kind, **changes):
    model = keras.Sequential(
        [
            keras.layers.Input((2,)),
            keras.layers.Dense(2, use_bias=False, kernel_initializer="identity"),
            *changes.pop("layers", []),
        ]
    )
    optimizer = changes.pop("optimizer", None) or keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    parts = {
        "loss": keras.losses.MeanSquaredError(),
        "metrics": {
            "loss": keras.metrics.Mean(),
            "error": keras.metrics.MeanAbsoluteError(),
        },
    }
    return kind(model, optimizer, **parts | changes)


def test_a_step_without_an_update_of_its_own_is_none(tensorflow):
    with pytest.raises(NotImplementedError):
        make(Step).train(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))


def test_one_update_by_hand(tensorflow):
    step = make(Standard)
    # Weights are the identity, so the prediction is x; loss = ((3 - 1)^2 + (4 - 4)^2) / 2 = 2,
    # d loss / d prediction = (2, 0), d loss / d w = x^T (2, 0) = [[6, 0], [8, 0]].
    loss = step.train(np.array([[3, 4]], np.float32), np.array([[1, 4]], np.float32))
    assert float(loss) == 2.0
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, [[1 - 0.5 * 6, 0], [-0.5 * 8, 1]])
    assert float(step.metrics["loss"].result()) == 2.0
    assert float(step.metrics["error"].result()) == 1.0  # (2 + 0) / 2, before the update


def test_the_loss_of_a_batch_counts_once_for_each_of_its_rows(tensorflow):
    step = make(Standard)
    zeros = np.zeros((3, 2), np.float32)
    step.evaluate(zeros, zeros + 1)  # 3 rows with a loss of 1
    step.evaluate(zeros[:1], zeros[:1] + 3)  # 1 row with a loss of 9
    assert float(step.metrics["loss"].result()) == (3 * 1 + 1 * 9) / 4
    assert float(step.metrics["error"].result()) == (3 * 1 + 1 * 3) / 4


def test_evaluating_changes_metrics_alone(tensorflow):
    step = make(Standard, layers=[keras.layers.Dropout(0.9), keras.layers.BatchNormalization()])
    before = [variable.numpy() for name in ("model", "optimizer") for variable in step.state[name]]
    x = np.ones((4, 2), np.float32)
    step.evaluate(x, x)
    after = [variable.numpy() for name in ("model", "optimizer") for variable in step.state[name]]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    # Without dropout, and with the running mean of 0 and variance of 1: the rows themselves.
    assert float(step.metrics["error"].result()) == pytest.approx(0, abs=1e-3)


def test_the_state_holds_what_is_not_trained_too(tensorflow):
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9, use_ema=True)
    step = make(
        Standard,
        optimizer=optimizer,
        layers=[keras.layers.Dropout(0.5), keras.layers.BatchNormalization()],
    )
    paths = {owner: [v.path for v in owned] for owner, owned in step.state.items()}
    assert list(paths) == ["model", "optimizer", "metrics"]

    def count(owner: str, part: str) -> int:
        return sum(part in path for path in paths[owner])

    assert count("model", "moving_mean") == 1
    assert count("model", "moving_variance") == 1
    assert count("model", "seed_generator_state") == 1
    assert count("model", "kernel") == 1
    assert count("optimizer", "iteration") == 1
    assert count("optimizer", "learning_rate") == 1
    assert count("optimizer", "momentum") == 3  # of kernel, gamma and beta
    assert count("optimizer", "average") == 3
    assert len(paths["metrics"]) == 4


def test_weights_are_the_trainable_ones(tensorflow):
    step = make(Standard, layers=[keras.layers.BatchNormalization()])
    assert len(step.weights) == 3
    step.model.layers[0].trainable = False
    assert len(step.weights) == 2


def test_training_uses_the_training_behaviour_of_layers(tensorflow):
    step = make(Standard, layers=[keras.layers.BatchNormalization(momentum=0.5)])
    x = np.array([[1, 5], [3, 5]], np.float32)
    step.train(x, x)
    mean = next(v for v in step.model.variables if "moving_mean" in v.path)
    np.testing.assert_allclose(mean.numpy(), [1.0, 2.5])  # half-way from 0 to (2, 5)

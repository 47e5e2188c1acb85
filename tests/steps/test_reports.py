"""What a step reports of each update besides its loss, and the norms of `step.log_gradients`."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.data.dataset import Split
from src.engine import state
from src.engine.assignment import use_plain_assignments
from src.engine.fused import FusedProgram
from src.engine.program import Program
from src.errors import CannotFuse, UserError
from src.steps import norms
from src.steps.standard import Standard

X = np.arange(10, dtype=np.float32)[:, None]
ROWS = Split(X, 2 * X)


class Telling(Standard):
    """Reports the greatest input of its batch and the learning rate."""

    @property
    def update_values(self):
        return (*super().update_values, "greatest", "rate")

    def train(self, x, y):
        self.report("rate", self.optimizer.learning_rate + 0.0)
        self.report("greatest", tf.reduce_max(x))
        return super().train(x, y)


class Forgetful(Telling):
    def report(self, name, value):
        if name != "greatest":
            super().report(name, value)


class Direct(Standard):
    """Doesn't use apply_gradients."""

    def apply_gradients(self, gradients):
        self.optimizer.apply(gradients, self.model.trainable_variables)


def make(kind=Standard, log_gradients=False):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(2, name="first"), keras.layers.Dense(1, name="second")]
    model = keras.Sequential([keras.layers.Input((1,)), *layers], name="net")
    optimizer = keras.optimizers.SGD(0.5)
    use_plain_assignments(optimizer)
    optimizer.build(model.trainable_variables)
    metrics = {"loss": keras.metrics.Mean()}
    step = kind(model, optimizer, keras.losses.MeanSquaredError(), metrics)
    step.log_gradients = log_gradients
    return step


def run(program, rates=(0.01, 0.02, 0.03)):
    """Train ten rows in batches of four: two whole batches and one of two rows."""
    given = np.array(rates, np.float32)[:, None].repeat(program.members, axis=1)
    program.shuffle(np.arange(10, dtype=np.int32)[None].repeat(program.members, axis=0))
    return program.run(0, given, np.ones(program.members, bool))


@pytest.mark.parametrize("options", [{"jit": False}, {"jit": True}, {"eager": True}])
def test_a_program_returns_what_its_step_reports(options):
    program = Program(make(Telling), ROWS, 4, 4, **options)
    losses = run(program)
    assert losses.shape == (3, 1)
    assert list(program.reported) == ["greatest", "rate"]
    assert program.reported["greatest"].tolist() == [[3], [7], [9]]
    np.testing.assert_array_equal(
        program.reported["rate"][:, 0], np.array([0.01, 0.02, 0.03], np.float32)
    )


def test_what_is_reported_changes_nothing_else():
    told, silent = (Program(make(kind), ROWS, 4, 4, jit=False) for kind in (Telling, Standard))
    np.testing.assert_array_equal(run(told), run(silent))
    assert silent.reported == {}
    assert state.sha256(told.snapshot()) == state.sha256(silent.snapshot())


@pytest.mark.parametrize(
    ("kind", "log_gradients", "message"),
    [
        (Forgetful, False, r"Forgetful must report .* update_values names, not so greatest"),
        (Direct, True, r"not so gradient_norm/net/first; step.log_gradients=true needs"),
    ],
)
def test_a_step_that_reports_otherwise_than_it_says_is_refused(kind, log_gradients, message):
    with pytest.raises(UserError, match=message):
        Program(make(kind, log_gradients), ROWS, 4, 4, jit=False)


def test_norms_by_hand():
    step = make(log_gradients=True)
    values: list[Any] = [[[3, 0]], [0, 0], [[1], [1]], [0]]
    step.model.set_weights([np.array(value, np.float32) for value in values])
    # x = 1, y = 7: the prediction is 3, d loss / d prediction = 2 (3 - 7) = -8.
    step.train(tf.constant([[1.0]]), tf.constant([[7.0]]))
    found = dict(zip(step.update_values, map(float, step.take_reports()), strict=True))
    first = 8 * np.sqrt(1 + 1 + 1 + 1)  # kernel (-8, -8), bias (-8, -8)
    second = 8 * np.sqrt(9 + 0 + 1)  # kernel (-24, 0), bias -8
    assert found == pytest.approx(
        {
            "gradient_norm/net/first": first,
            "gradient_norm/net/second": second,
            "update_norm/net/first": first / 2,  # the learning rate is a half
            "update_norm/net/second": second / 2,
        }
    )


def test_gradients_that_are_none_count_as_zeros():
    [a, b, c] = (keras.Variable(np.zeros(2), name=name) for name in "abc")
    found = norms.by_layer([a, b, c], [tf.constant([3.0, 4.0]), None, tf.constant([0.0, 2.0])])
    assert {name: float(value) for name, value in found.items()} == {"a": 5, "b": 0, "c": 2}


def test_layers_of_one_name_are_told_apart():
    layers = [keras.layers.Dense(1, name="same"), keras.layers.Dense(1, name="same")]
    for layer in layers:
        layer.build((None, 1))
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    assert norms.layers(variables) == {"same": [0, 1], "same_1": [2, 3]}


def test_members_report_what_they_report_alone():
    steps = [make(Telling, log_gradients=True) for _ in range(2)]
    states = [state.snapshot(step) for step in steps]
    states[1] = {name: value * np.float32(0.5) for name, value in states[1].items()}
    fused = FusedProgram(steps[0], states, ROWS, 4, 4, jit=False)
    run(fused)
    for member, own in enumerate(states):
        alone = Program(make(Telling, log_gradients=True), ROWS, 4, 4, jit=False)
        alone.load([own])
        run(alone)
        assert list(fused.reported) == list(alone.reported)
        assert len(fused.reported) == 6
        for name, values in alone.reported.items():
            np.testing.assert_allclose(fused.reported[name][:, member], values[:, 0], rtol=1e-5)


def test_a_forgetful_step_is_not_fused_either():
    step = make(Forgetful)
    with pytest.raises(CannotFuse, match="must report"):
        FusedProgram(step, [state.snapshot(step)] * 2, ROWS, 4, 4, jit=False)


@pytest.mark.parametrize("name", sorted(path.stem for path in Path("conf/step").glob("*.yaml")))
def test_every_kind_of_step_logs_gradients(program, teacher, name):
    chosen = [f"step={name}", *([teacher()] if name == "distillation" else [])]
    made, _ = program(*chosen, "step.log_gradients=true", "jit=auto", "eager=true")
    made.run(0, np.full((1, 1), 0.1, np.float32), np.ones(1, bool))
    layers = {"mlp/dense_1", "mlp/logits"}
    kinds = ("gradient_norm", "update_norm")
    assert set(made.reported) == {f"{kind}/{layer}" for kind in kinds for layer in layers}
    for layer in layers:
        gradient, update = (float(made.reported[f"{kind}/{layer}"][0, 0]) for kind in kinds)
        assert update == pytest.approx(0.1 * gradient, rel=1e-4) != 0  # plain gradient descent

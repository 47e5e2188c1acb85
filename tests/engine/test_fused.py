"""Members of a fused program against their solo runs, for every choice in conf/.

How equal they are: losses and metrics to 1e-5 of their size, weights to 1e-5 of the largest weight,
over 24 updates of small models. A member differs from its solo run by the rounding of sums alone.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from src import programs
from src.engine import state
from src.engine.fused import FusedProgram
from src.engine.program import Program
from src.errors import CannotFuse
from src.job import load_data
from src.steps.standard import Standard
from tests.engine.members import (
    MODELS,
    ROWS,
    compare,
    fuse,
    make_step,
    quick_and_slow,
    same_state,
    train,
    with_values,
)

OPTIMIZERS = sorted(path.stem for path in Path("conf/optimizer").glob("*.yaml"))
LOSSES = {
    "sparse_categorical_crossentropy": ["data.labels=integer", "loss.label_smoothing=0.1"],
    "categorical_crossentropy": ["data.labels=one_hot", "loss.label_smoothing=0.1"],
    "mean_squared_error": ["data.labels=one_hot"],
    "huber": ["data.labels=one_hot", "loss.delta=0.2"],
}
# With what members may differ in, if there is such a thing.
STEPS: dict[str, tuple[str, list[float]]] = {
    "standard": ("", []),
    "sam": ("rho", [0.0, 0.1, 0.5]),
    "mixup": ("alpha", [0.1, 0.4, 2.0]),
    "adversarial": ("epsilon", [0.0, 0.05, 0.2]),
    "gradient_penalty": ("weight", [0.0, 0.1, 1.0]),
    "gradient_noise_scale": ("", []),
    "distillation": ("temperature", [1.0, 4.0, 10.0]),
}
# It is a quotient of differences, which enlarge rounding.
TOLERANCES = {"gradient_noise_scale": {"rtol": 1e-3}}


def test_the_choices_are_those_of_conf():
    assert {path.stem for path in Path("conf/loss").glob("*.yaml")} == LOSSES.keys()
    assert {path.stem for path in Path("conf/model").glob("*.yaml")} <= MODELS.keys()
    assert {path.stem for path in Path("conf/step").glob("*.yaml")} == STEPS.keys()


QUICK = {"adam", "muon"}  # with two states for each weight, and with other ones by its shape


@pytest.mark.parametrize("name", quick_and_slow(OPTIMIZERS, QUICK))
def test_every_optimizer(configs, name):
    program = compare(configs(f"optimizer={name}", *MODELS["mlp"]))
    assert program.traces == 2  # one program, and one for the smaller last batch


SHALLOW = ("mlp", "dropout", "linear", "cnn", "cnn_dropout")


@pytest.mark.parametrize("name", quick_and_slow(MODELS, {"cnn_dropout"}))
def test_every_model(configs, name):
    # Rounding grows from layer to layer where each of them divides by its own deviation.
    if name in SHALLOW:
        compare(configs("optimizer=momentum", *MODELS[name]))
    else:
        deep = configs("optimizer=momentum", "optimizer.learning_rate=0.001", *MODELS[name])
        compare(deep, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", quick_and_slow(LOSSES, {"sparse_categorical_crossentropy"}))
def test_every_loss(configs, name):
    compare(configs(f"loss={name}", *LOSSES[name], *MODELS["linear"]))


@pytest.fixture
def step(teacher, pictures):
    """The overrides that choose a step."""

    def make(name):
        chosen, data = [f"step={name}"], ("data=arrays", f"data.path={pictures}")
        return [*chosen, teacher(*data)] if name == "distillation" else chosen

    return make


@pytest.mark.parametrize("name", quick_and_slow(STEPS, {"sam"}))
def test_every_step_and_what_members_may_differ_in(configs, step, name):
    made = configs(*step(name), *MODELS["linear"])
    key, values = STEPS[name]
    if key:
        made = with_values(made, "step", [{key: value} for value in values])
    compare(made, **TOLERANCES.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_every_step_compiled_by_xla(configs, step, name):
    compare(configs(*step(name), "jit=true", *MODELS["mlp"]), **TOLERANCES.get(name, {}))


@pytest.mark.slow
def test_random_numbers_of_a_step_where_xla_was_chosen(configs):
    """Solo runs are graphs, and the members draw their numbers."""
    program = compare(configs("step=mixup", "jit=auto", *MODELS["linear"]))
    assert program.compilation.jit


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_every_step_with_dropout(configs, step, name):
    compare(configs(*step(name), *MODELS["dropout"]), **TOLERANCES.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_every_step_with_convolutions_and_batch_normalisation(configs, step, name):
    compare(configs(*step(name), *MODELS["cnn"]), **TOLERANCES.get(name, {}))


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["optimizer=sgd", "optimizer.clipnorm=0.01"], marks=pytest.mark.slow),
        pytest.param(["optimizer=sgd", "optimizer.clipvalue=0.01"], marks=pytest.mark.slow),
        pytest.param(["optimizer=sgd", "optimizer.global_clipnorm=0.01"], marks=pytest.mark.slow),
        pytest.param(
            ["optimizer=adam", "optimizer.amsgrad=true", "optimizer.weight_decay=0.1"],
            marks=pytest.mark.slow,
        ),
        ["optimizer=adam", "ema.decay=0.9"],
        pytest.param(
            ["optimizer=rmsprop", "optimizer.momentum=0.5", "optimizer.centered=true"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_further_arguments_of_optimizers(configs, overrides):
    compare(configs(*overrides, *MODELS["linear"]))


@pytest.mark.slow
def test_tokens_with_a_label_for_each(configs):
    keys = ["data.length=4", "data.characters=101", "data.batch_size=8", "model.depth=1"]
    keys += ["model.width=8", "optimizer.learning_rate=0.01"]
    compare(configs(*MODELS["transformer"], *keys, data="text"), rtol=1e-3)


def test_regression_and_its_metrics(configs):
    compare(configs("task=regression", "data.task=regression", "optimizer.learning_rate=0.01"))


@pytest.mark.parametrize("name", quick_and_slow(["mlp", "dropout"], {"mlp"}))
def test_compiled_by_xla(configs, name):
    """Without `jit=false`; solo runs with dropout are graphs, which draw the same numbers."""
    program = compare(configs("jit=auto", "optimizer=adam", *MODELS[name]))
    assert program.compilation.jit


@pytest.mark.slow
def test_random_numbers_of_xla_where_solo_runs_draw_them(configs):
    program = compare(configs("jit=true", *MODELS["dropout"]))
    assert program.compilation.jit


@pytest.mark.parametrize("name", quick_and_slow(OPTIMIZERS, {"muon"}))
def test_members_may_differ_in_weight_decay(configs, name):
    first = 0.0 if name in ("adamw", "muon") else None
    made = configs(f"optimizer={name}", *MODELS["linear"])
    decays = [{"weight_decay": value} for value in (first, 0.5, 0.1)]
    if name == "muon":
        decays = [own | {"adam_weight_decay": 0.2} for own in decays]
    compare(with_values(made, "optimizer", decays))


@pytest.mark.slow
def test_members_may_differ_in_label_smoothing(configs):
    made = configs("loss=sparse_categorical_crossentropy", *MODELS["linear"])
    values = [{"label_smoothing": value} for value in (0.0, 0.3, 0.1)]
    compare(with_values(made, "loss", values))


def test_a_kept_program_takes_other_values_of_its_attributes(configs):
    made = configs(*MODELS["linear"])
    dataset, _ = load_data(made[0])
    found = []
    for decays in ((0.1, 0.2, 0.3), (0.5, 0.6, None)):
        members = with_values(made, "optimizer", [{"weight_decay": decay} for decay in decays])
        program = programs.compiled(members, dataset, keep=True)
        found.append((program, train(program, members, dataset)[0]))
    assert found[0][0] is found[1][0]
    fresh = programs.compiled(members, dataset)
    np.testing.assert_array_equal(found[1][1], train(fresh, members, dataset)[0])
    assert programs.compiled(made, dataset, keep=True) is not fresh  # without such attributes
    np.testing.assert_array_equal(made[0].optimizer.arguments["weight_decay"], None)


class Scaled(Standard):
    """Has an attribute of its own that may be a tensor."""

    TENSOR_ATTRIBUTES = ("scale",)
    scale = 1.0

    def train(self, x, y):
        return super().train(x * self.scale, y)


def test_an_attribute_of_the_step():
    step = make_step(Scaled)
    program = fuse(step, attributes={"step.scale": np.array([1.0, 3.0])})
    losses = program.run(0, np.full((2, 2), 0.1, np.float32), np.ones(2, bool))
    for member, scale in enumerate([1.0, 3.0]):
        single = make_step(Scaled)
        single.scale = scale
        alone = Program(single, ROWS, 4, 6, jit=False)
        expected = alone.run(0, np.full((2, 1), 0.1, np.float32), np.ones(1, bool))
        np.testing.assert_allclose(losses[:, member], expected[:, 0], rtol=1e-5)
    assert step.scale == 1.0


class OfAnyShape(Standard):
    """Draws as many random numbers as there are rows, which it doesn't know beforehand."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.random = keras.random.SeedGenerator(0)

    @property
    def state(self):
        return super().state | {"random": [self.random.state]}

    def train(self, x, y):
        rows = tf.shape(tf.boolean_mask(x, tf.reduce_all(x > 0, axis=1)))
        return super().train(x + tf.reduce_mean(keras.random.uniform(rows, seed=self.random)), y)


def test_random_numbers_that_would_be_others_are_refused():
    step = make_step(OfAnyShape)
    states = [state.snapshot(step)] * 2
    with pytest.raises(CannotFuse, match="random numbers are float32 of a fixed shape"):
        FusedProgram(step, states, ROWS, 4, 6, jit="auto")


class WithCopies(Standard):
    """Gives one variable the value of another, which it then changes."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.before = keras.Variable(np.zeros(2, np.float32))

    @property
    def state(self):
        return super().state | {"copies": [self.before]}

    def train(self, x, y):
        bias = self.model.trainable_variables[1]
        self.before.assign(bias)
        loss = super().train(x, y)
        return loss + tf.reduce_sum(bias - self.before)


def test_a_variable_given_to_another_has_its_value_of_that_moment():
    alone = Program(make_step(WithCopies), ROWS, 4, 6, jit=False)
    program = fuse(make_step(WithCopies))
    rates = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    np.testing.assert_allclose(
        program.run(0, rates, np.ones(2, bool))[:, 1:],
        alone.run(0, rates[:, 1:], np.ones(1, bool)),
        rtol=1e-5,
    )
    same_state(program.snapshot(1), alone.snapshot(), 1e-5)

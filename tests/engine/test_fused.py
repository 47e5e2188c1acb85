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
from src.build import build
from src.config import validate
from src.data.dataset import Split
from src.engine import state, suitability
from src.engine.assignment import use_plain_assignments
from src.engine.fused import FusedProgram
from src.engine.program import Program
from src.errors import CannotFuse
from src.fit import row_order
from src.job import load_data
from src.losses.sparse_categorical_crossentropy import SparseCategoricalCrossentropy
from src.steps.standard import Standard

OPTIMIZERS = sorted(path.stem for path in Path("conf/optimizer").glob("*.yaml"))
MODELS = {
    "mlp": ["model.hidden=[5]"],
    "dropout": ["model.hidden=[5,4]", "model.dropout=0.4"],
    "linear": ["model=linear"],
    "cnn": ["model=cnn", "model.filters=[2,3]"],
    "cnn_dropout": ["model=cnn", "model.filters=[2]", "model.dropout=0.4"],
}
LOSSES = {
    "sparse_categorical_crossentropy": ["data.labels=integer", "loss.label_smoothing=0.1"],
    "categorical_crossentropy": ["data.labels=one_hot", "loss.label_smoothing=0.1"],
    "mean_squared_error": ["data.labels=one_hot"],
    "huber": ["data.labels=one_hot", "loss.delta=0.2"],
}
EPOCHS = 8
# Seeds and factors of the learning rate: two members share a seed, two a rate.
MEMBERS = [(0, 1.0), (1, 1.0), (1, 0.3)]


@pytest.fixture
def configs(composed, pictures):
    """The configurations of members that differ in seed and learning rate."""

    def make(*overrides):
        data = ["data=arrays", f"data.path={pictures}", "data.batch_size=8"]
        config = validate(composed("tracking=none", "jit=false", *data, *overrides))
        base = config.optimizer.learning_rate
        return [
            config.model_copy(
                update={
                    "seed": seed,
                    "optimizer": config.optimizer.model_copy(
                        update={"learning_rate": base * factor}
                    ),
                }
            )
            for seed, factor in MEMBERS
        ]

    return make


def train(program, configs, dataset, epochs=EPOCHS, active=None):
    """Losses `(updates, members)` and each epoch's metrics, trained and validated."""
    active = np.ones(len(configs), bool) if active is None else np.array(active)
    rates = np.array([config.optimizer.learning_rate for config in configs], np.float32)
    losses, metrics = [], []
    for epoch in range(epochs):
        orders = [row_order(config.seed, epoch, program.rows) for config in configs]
        program.shuffle(np.stack(orders))
        updates = np.tile(rates, (program.updates_per_epoch, 1))
        losses.append(program.run(0, updates, active))
        metrics.append((program.take_results(), program.evaluate(dataset.val)))
    return np.concatenate(losses), metrics


def compare(configs, **tolerances):
    """Train members fused and alone, and hold one against the other; the fused program."""
    dataset, _ = load_data(configs[0])
    fused = programs.compiled(configs, dataset, force=True)
    losses, metrics = train(fused, configs, dataset)
    close = {"rtol": 1e-5, "atol": 1e-6} | tolerances
    for member, config in enumerate(configs):
        alone = programs.compiled([config], dataset, keep=True)  # one program for all of them
        expected, expected_metrics = train(alone, [config], dataset)
        np.testing.assert_allclose(losses[:, member], expected[:, 0], **close)
        for pairs, expected_pairs in zip(metrics, expected_metrics, strict=True):
            for found, single in zip(pairs, expected_pairs, strict=True):
                assert list(found[member]) == list(single[0])
                np.testing.assert_allclose(
                    list(found[member].values()), list(single[0].values()), **close
                )
        same_state(fused.snapshot(member), alone.snapshot(), close["rtol"])
    return fused


def same_state(found, expected, tolerance):
    assert list(found) == list(expected)
    for name, value in found.items():
        assert (value.dtype, value.shape) == (expected[name].dtype, expected[name].shape)
        atol = tolerance * max(float(np.abs(expected[name]).max(initial=0)), 1e-3)
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=atol, err_msg=name)


def quick_and_slow(names, quick):
    """Parameters of which all but the quick ones are marked as slow."""
    marks = {name: () if name in quick else (pytest.mark.slow,) for name in names}
    return [pytest.param(name, marks=marks[name]) for name in names]


def test_the_choices_are_those_of_conf():
    assert {path.stem for path in Path("conf/loss").glob("*.yaml")} == LOSSES.keys()
    assert {path.stem for path in Path("conf/model").glob("*.yaml")} <= MODELS.keys()
    assert [path.stem for path in Path("conf/step").glob("*.yaml")] == ["standard"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(configs, name):
    program = compare(configs(f"optimizer={name}", *MODELS["mlp"]))
    assert program.traces == 2  # one program, and one for the smaller last batch


@pytest.mark.parametrize("name", MODELS)
def test_every_model(configs, name):
    compare(configs("optimizer=momentum", *MODELS[name]))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(configs, name):
    compare(configs(f"loss={name}", *LOSSES[name], *MODELS["linear"]))


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=sgd", "+optimizer.clipnorm=0.01"],
        ["optimizer=sgd", "+optimizer.clipvalue=0.01"],
        ["optimizer=sgd", "+optimizer.global_clipnorm=0.01"],
        ["optimizer=adam", "optimizer.amsgrad=true", "optimizer.weight_decay=0.1"],
        ["optimizer=adam", "+optimizer.use_ema=true"],
        ["optimizer=rmsprop", "optimizer.momentum=0.5", "optimizer.centered=true"],
    ],
)
def test_further_arguments_of_optimizers(configs, overrides):
    compare(configs(*overrides, *MODELS["linear"]))


@pytest.mark.parametrize("name", ["mlp", "dropout"])
def test_compiled_by_xla(configs, name):
    """Without `jit=false`; solo runs with dropout are graphs, which draw the same numbers."""
    program = compare(configs("jit=auto", "optimizer=adam", *MODELS[name]))
    assert program.compilation.jit


def test_random_numbers_of_xla_where_solo_runs_draw_them(configs):
    program = compare(configs("jit=true", *MODELS["dropout"]))
    assert program.compilation.jit


def with_values(configs, part, values):
    """The configurations, each with its own arguments of a part."""
    return [
        config.model_copy(update={part: getattr(config, part).model_copy(update=own)})
        for config, own in zip(configs, values, strict=True)
    ]


@pytest.mark.parametrize("name", quick_and_slow(OPTIMIZERS, {"sgd", "adamw", "muon"}))
def test_members_may_differ_in_weight_decay(configs, name):
    first = 0.0 if name in ("adamw", "muon") else None
    made = configs(f"optimizer={name}", *MODELS["linear"])
    decays = [{"weight_decay": value} for value in (first, 0.5, 0.1)]
    if name == "muon":
        decays = [own | {"adam_weight_decay": 0.2} for own in decays]
    compare(with_values(made, "optimizer", decays))


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


# -- members that stop

HOT = np.inf  # a learning rate that makes the weights overflow


@pytest.mark.parametrize("name", quick_and_slow(MODELS, {"mlp", "cnn_dropout"}))
def test_a_member_that_fails_leaves_its_neighbours_alone(configs, name):
    made = configs("optimizer=momentum", *MODELS[name])
    dataset, _ = load_data(made[0])
    hot = with_values(made, "optimizer", [{}, {"learning_rate": HOT}, {}])
    program = programs.compiled(made, dataset, keep=True, force=True)
    expected = train(program, made, dataset, epochs=3)[0]
    program = programs.compiled(made, dataset, keep=True, force=True)
    losses = train(program, hot, dataset, epochs=3)[0]
    assert not np.isfinite(losses[-1, 1])
    np.testing.assert_array_equal(losses[:, [0, 2]], expected[:, [0, 2]])


def test_a_frozen_member_keeps_its_state(configs):
    made = configs("optimizer=adam", *MODELS["cnn_dropout"])
    dataset, _ = load_data(made[0])
    program = programs.compiled(made, dataset, force=True)
    train(program, made, dataset, epochs=2)
    frozen, others = program.snapshot(1), [program.snapshot(0), program.snapshot(2)]
    train(program, made, dataset, epochs=2, active=[True, False, True])
    assert state.sha256(program.snapshot(1)) == state.sha256(frozen)
    assert state.sha256(program.snapshot(0)) != state.sha256(others[0])
    assert state.sha256(program.snapshot(2)) != state.sha256(others[1])


# -- the members' states


@pytest.fixture
def small(configs):
    """A fused program of three linear models, its data set and configurations."""
    made = configs("optimizer=adam", *MODELS["linear"])
    dataset, _ = load_data(made[0])
    return programs.compiled(made, dataset), dataset, made


def test_members_begin_as_their_solo_runs(small):
    program, dataset, made = small
    for member, config in enumerate(made):
        expected = state.snapshot(build(config, dataset, config.seed))
        found = program.snapshot(member)
        # Only the learning rate differs: it is assigned at each update.
        assert {n: v.tobytes() for n, v in found.items() if "learning_rate" not in n} == {
            n: v.tobytes() for n, v in expected.items() if "learning_rate" not in n
        }


def test_a_state_is_given_back_to_one_member_alone(small):
    program, dataset, made = small
    before = [program.snapshot(member) for member in range(3)]
    train(program, made, dataset, epochs=1)
    after = [program.snapshot(member) for member in range(3)]
    program.restore(before[1], 1)
    assert state.sha256(program.snapshot(1)) == state.sha256(before[1])
    program.evaluate(dataset.val)  # takes it to the device and back
    for member, expected in enumerate([after[0], before[1], after[2]]):
        assert state.sha256(program.snapshot(member)) == state.sha256(expected)


def test_a_snapshot_is_a_copy(small):
    program, dataset, made = small
    taken = program.snapshot(0)
    digest = state.sha256(taken)
    train(program, made, dataset, epochs=1)
    assert state.sha256(taken) == digest
    for value in program.snapshot(0).values():
        value[...] = 7
    assert state.sha256(program.snapshot(0)) != state.sha256(program.snapshot(1))
    assert not any((value == 7).all() for value in program.snapshot(0, "model/").values())


def test_a_part_of_the_state_by_its_owner(small):
    names = small[0].snapshot(2, "model/")
    assert names
    assert all(name.startswith("model/") for name in names)


def test_what_does_not_fit_is_refused_and_changes_nothing(small):
    program, *_ = small
    before = program.snapshot(0)
    name = next(iter(before))
    with pytest.raises(ValueError, match="which this model and optimizer don't have"):
        program.restore({name: before[name] + 1, "model/elsewhere": np.zeros(1)}, 0)
    with pytest.raises(ValueError, match="has shape"):
        program.restore({name: np.zeros((1, 1), np.float32)}, 0)
    assert state.sha256(program.snapshot(0)) == state.sha256(before)


def test_the_model_with_a_members_weights(small):
    program, dataset, made = small
    train(program, made, dataset, epochs=1)
    outputs = [program.model(member)(dataset.val.x).numpy() for member in range(3)]
    alone = programs.compiled([made[2]], dataset)
    train(alone, [made[2]], dataset, epochs=1)
    np.testing.assert_allclose(outputs[2], alone.model()(dataset.val.x), rtol=1e-5)
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_a_member_goes_on_alone_from_its_state(small):
    program, dataset, made = small
    train(program, made, dataset, epochs=2)
    alone = programs.compiled([made[1]], dataset)
    alone.restore(program.snapshot(1))
    losses = train(program, made, dataset, epochs=2)[0]
    np.testing.assert_allclose(losses[:, 1:2], train(alone, [made[1]], dataset, 2)[0], rtol=1e-5)


# -- what can't or had better not be fused

ROWS = Split(np.ones((6, 3), np.float32), np.zeros(6, np.int32))


class WithHiddenState(Standard):
    """Changes a variable that its `state` doesn't name."""

    def __init__(self, *arguments: Any, variable: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.variable = variable

    def train(self, x, y):
        self.variable.assign(self.variable + 1.0)
        return super().train(x, y)


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


class WithStatefulRandom(Standard):
    def train(self, x, y):
        return super().train(x + tf.random.uniform([]), y)


class WithGlobalGenerator(Standard):
    def train(self, x, y):
        return super().train(x + keras.random.uniform([]), y)


class WithNormalNoise(Standard):
    """Random numbers that have no vectorised form here."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.generator = keras.random.SeedGenerator(3)

    @property
    def state(self):
        return super().state | {"noise": [self.generator.state]}

    def train(self, x, y):
        return super().train(x + keras.random.normal(tf.shape(x), seed=self.generator), y)


class Scaled(Standard):
    """Has an attribute of its own that may be a tensor."""

    TENSOR_ATTRIBUTES = ("scale",)
    scale = 1.0

    def train(self, x, y):
        return super().train(x * self.scale, y)


def make_step(kind=Standard, **arguments):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="logits")])
    optimizer = keras.optimizers.SGD(0.5)
    use_plain_assignments(optimizer)
    optimizer.build(model.trainable_variables)
    loss = SparseCategoricalCrossentropy(True, 0.0, "sum_over_batch_size")
    return kind(model, optimizer, loss, {"loss": keras.metrics.Mean(name="loss")}, **arguments)


def fuse(step, members=2, **options: Any):
    states = [state.snapshot(step)] * members
    return FusedProgram(step, states, ROWS, 4, 6, jit=False, evaluated=[ROWS], **options)


UNNAMED = "it changes .*, which the step's state doesn't name"


@pytest.mark.parametrize(
    ("kind", "variable", "reason"),
    [
        pytest.param(WithHiddenState, keras.Variable, UNNAMED, id="keras.Variable"),
        pytest.param(WithHiddenState, tf.Variable, "it changes a tf.Variable", id="tf.Variable"),
        pytest.param(WithStatefulRandom, None, "RandomUniform would draw other", id="tf.random"),
        pytest.param(WithGlobalGenerator, None, UNNAMED, id="keras.random"),
    ],
)
def test_what_would_differ_from_solo_runs_is_refused(kind, variable, reason):
    step = make_step(kind, variable=variable(0.0)) if variable else make_step(kind)
    with pytest.raises(CannotFuse, match=reason) as refusal:
        fuse(step, force=True)
    assert refusal.value.members < 2


@pytest.mark.parametrize("argument", ["ema_overwrite_frequency=3", "gradient_accumulation_steps=2"])
def test_assignments_that_depend_on_a_condition_are_refused(configs, argument):
    """Solo they work; a member's tensors can't be changed in a branch of a graph."""
    overrides = ["+optimizer.use_ema=true", f"+optimizer.{argument}"]
    made = configs(*overrides, *MODELS["linear"])
    dataset, _ = load_data(made[0])
    with pytest.raises(CannotFuse, match=r"it changes .* inside a tf\.cond"):
        programs.compiled(made, dataset)


def test_members_take_turns_where_there_is_no_other_way():
    notices: list[str] = []
    step = make_step(WithNormalNoise)
    alone = Program(make_step(WithNormalNoise), ROWS, 4, 6, jit=False)
    program = fuse(step, notice=notices.append)
    rates = np.full((2, 2), 0.1, np.float32)
    np.testing.assert_allclose(
        program.run(0, rates, np.ones(2, bool))[:, 1:],
        alone.run(0, rates[:, :1], np.ones(1, bool)),
        rtol=1e-5,
    )
    [notice] = notices
    assert notice.startswith("Members take turns in StatelessRandomGetKeyCounter, StatelessRandomN")


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


def test_a_metric_that_leaves_the_graph_is_refused_before_training():
    class Strange(keras.metrics.Metric):
        def update_state(self, y, predictions):
            raise RuntimeError("not in a graph")

        def result(self):
            return 0.0

    step = make_step()
    step.metrics["strange"] = Strange()
    step.train = lambda x, y: tf.reduce_sum(x)
    with pytest.raises((CannotFuse, RuntimeError), match="not in a graph"):
        fuse(step)


def test_convolutions_are_fused_by_force_alone(configs):
    made = configs(*MODELS["cnn"])
    dataset, _ = load_data(made[0])
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("a rule for CPUs")
    with pytest.raises(CannotFuse, match="Conv2D is slower fused than one by one on a CPU"):
        programs.compiled(made, dataset)


def test_large_matrix_products_are_fused_by_force_alone(monkeypatch):
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("a rule for CPUs")
    # Forward and weights' gradient of 4 rows, 3 inputs, 2 outputs; inputs need no gradient.
    monkeypatch.setattr(suitability, "LARGE_PRODUCTS", 2 * 2 * 4 * 3 * 2 - 1)
    with pytest.raises(CannotFuse, match="matrix products of 0 million operations an update are"):
        fuse(make_step())
    fuse(make_step(), force=True)
    monkeypatch.setattr(suitability, "LARGE_PRODUCTS", 2 * 2 * 4 * 3 * 2)
    fuse(make_step())


def test_members_that_need_more_than_the_memory(monkeypatch):
    fuse(make_step(), members=8)
    monkeypatch.setattr(suitability, "free_memory", lambda: 10_000)
    with pytest.raises(CannotFuse, match=r"8 members need 0\.0 GiB, more than 50%") as refusal:
        fuse(make_step(), members=8)
    assert 2 <= refusal.value.members < 8
    fuse(make_step(), members=refusal.value.members)

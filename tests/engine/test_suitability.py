"""What can't be fused, or had better not, is refused before training, and the refusal says why."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from src import programs
from src.engine import suitability
from src.engine.assignment import use_plain_assignments
from src.engine.program import Program
from src.errors import CannotFuse
from src.job import load_data
from src.steps.standard import Standard
from tests.engine.members import MODELS, ROWS, fuse, make_step


class WithHiddenState(Standard):
    """Changes a variable that its `state` doesn't name."""

    def __init__(self, *arguments: Any, variable: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.variable = variable

    def train(self, x, y):
        self.variable.assign(self.variable + 1.0)
        return super().train(x, y)


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


@pytest.mark.parametrize(
    "arguments",
    [{"use_ema": True, "ema_overwrite_frequency": 3}, {"gradient_accumulation_steps": 2}],
)
def test_assignments_that_depend_on_a_condition_are_refused(arguments):
    """Solo they work; a member's tensors can't be changed in a branch of a graph."""
    step = make_step()
    step.optimizer = keras.optimizers.SGD(0.5, **arguments)
    use_plain_assignments(step.optimizer)
    step.optimizer.build(step.model.trainable_variables)
    with pytest.raises(CannotFuse, match=r"it changes .* inside a tf\.cond"):
        fuse(step, force=True)


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


@pytest.mark.parametrize(
    ("function", "shapes", "products"),
    [
        (tf.matmul, [(2, 3), (3, 5)], 2 * 3 * 5),
        (tf.matmul, [(7, 2, 3), (7, 3, 5)], 7 * 2 * 3 * 5),
        (lambda x, y: tf.matmul(x, y, transpose_a=True), [(7, 3, 2), (7, 3, 5)], 7 * 2 * 3 * 5),
        (lambda x, y: tf.einsum("bij,bkj->bik", x, y), [(7, 2, 3), (7, 5, 3)], 7 * 2 * 3 * 5),
        (lambda x, y: tf.transpose(x) + y, [(2, 3), (3, 2)], 0),
    ],
)
def test_products_are_counted_in_all_their_forms(function, shapes, products):
    traced = tf.function(function).get_concrete_function(
        *(tf.TensorSpec(shape, tf.float32) for shape in shapes)
    )
    assert suitability.product_operations(traced) == 2 * products

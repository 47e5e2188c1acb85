"""The compiled program against loops written out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.data.dataset import Split
from src.engine import feed
from src.engine.program import Program
from src.fit import row_order
from src.losses.sparse_categorical_crossentropy import SparseCategoricalCrossentropy
from src.steps.step import Step

ONE = np.ones(1, bool)


class Recording(Step):
    """Learns nothing: its loss tells which rows a batch had, and metrics what was evaluated."""

    traced = evaluations_traced = 0

    def train(self, x, y):
        self.traced += 1
        self.metrics["loss"].update_state(tf.reduce_sum(x))
        return tf.reduce_sum(x)

    def evaluate(self, x, y):
        self.evaluations_traced += 1
        self.metrics["loss"].update_state(tf.cast(y, tf.float32))


class Rates(Recording):
    """Its loss is the learning rate that the optimizer has."""

    def train(self, x, y):
        return self.optimizer.learning_rate + 0.0


class WithPython(Recording):
    """Leaves the graph for Python, where XLA can't follow."""

    def train(self, x, y):
        self.traced += 1
        return tf.py_function(lambda rows: tf.reduce_sum(rows), [x], tf.float32)


class WithStrings(Recording):
    def train(self, x, y):
        self.traced += 1
        return tf.strings.to_number(tf.strings.as_string(tf.reduce_sum(x)))


def make_step(kind=Recording):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    return kind(model, optimizer, keras.losses.MeanSquaredError(), {"loss": keras.metrics.Mean()})


def powers(rows: int) -> Split:
    """Row number r holds 2 ** r, so that the sum of a batch tells its rows."""
    x = np.float32(2.0) ** np.arange(rows, dtype=np.float32)[:, None]
    return Split(x, np.arange(rows, dtype=np.int32))


def recording(rows, batch_size, kind=Recording, **options):
    return Program(make_step(kind), powers(rows), batch_size, 4, **({"jit": False} | options))


def run(program, start, count, rate=0.25):
    return program.run(start, np.full((count, 1), rate, np.float32), ONE)[:, 0]


def epoch(program, order, lengths):
    """The losses of one epoch in calls of these lengths."""
    program.shuffle(order[None])
    losses, start = [], 0
    for length in lengths:
        losses.append(run(program, start, length))
        start += length
    assert start == program.updates_per_epoch
    return np.concatenate(losses)


def sums(order, batch_size):
    """What the batches of an epoch sum up to, worked out from the order alone."""
    return [
        float(sum(2.0**row for row in order[begin : begin + batch_size]))
        for begin in range(0, len(order), batch_size)
    ]


# -- which rows an update sees


@pytest.mark.parametrize(
    ("rows", "batch_size"), [(20, 8), (16, 8), (20, 20), (20, 64), (17, 16), (1, 8), (5, 1)]
)
def test_each_row_is_trained_on_once_an_epoch_in_the_given_order(rows, batch_size):
    program = recording(rows, batch_size)
    for number in range(2):
        order = row_order(7, number, rows)
        expected = sums(order, batch_size)
        assert program.updates_per_epoch == len(expected)
        losses = epoch(program, order, [len(expected)])
        assert losses.dtype == np.float32
        assert losses.tolist() == expected


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("lengths", [[1] * 5, [2, 3], [4, 1], [3, 1, 1]])
def test_where_a_call_ends_changes_nothing(lengths, jit):
    program = recording(18, 4, jit=jit)
    order = row_order(0, 0, 18)
    assert epoch(program, order, lengths).tolist() == sums(order, 4)


def test_more_batches_than_a_call_can_hold(monkeypatch):
    monkeypatch.setattr(feed, "CAPACITY", 4)
    program = recording(19, 2)
    assert program.capacity == 4
    order = row_order(0, 0, 19)
    assert epoch(program, order, [4, 4, 2]).tolist() == sums(order, 2)


@pytest.mark.parametrize(("jit", "eager"), [(False, False), (True, False), (False, True)])
def test_the_rate_of_each_update_reaches_the_optimizer(jit, eager):
    program = recording(18, 4, Rates, jit=jit, eager=eager)
    program.shuffle(row_order(0, 0, 18)[None])
    rates = np.array([[0.5], [0.25], [0.125], [1e-3], [3.0]], np.float32)
    np.testing.assert_array_equal(program.run(0, rates, ONE), rates)
    np.testing.assert_array_equal(program.run(1, rates[1:3], ONE), rates[1:3])
    assert float(program.step.optimizer.learning_rate.numpy()) == 0.125


# -- how often it is traced


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("rows", "expected"), [(18, 2), (16, 1), (3, 1)])
def test_the_step_is_traced_once_and_once_more_for_a_smaller_batch(rows, expected, jit):
    program = recording(rows, 4, jit=jit)
    for number in range(3):
        for split in (1, 2):
            length = program.updates_per_epoch
            lengths = [length] if length < 2 or split == 1 else [1, length - 1]
            epoch(program, row_order(0, number, rows), lengths)
        program.take_results()
        program.evaluate(powers(7))
    assert program.traces == expected
    assert program.step.traced == expected


def test_an_evaluation_is_traced_once_for_each_split():
    program, splits = recording(8, 4), [powers(7), powers(5)]
    traced = []
    for _ in range(3):
        for split in splits:
            program.evaluate(split)
        traced.append(program.step.evaluations_traced)
    assert traced[0] > 0
    assert traced == [traced[0]] * 3


# -- evaluation


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 100])
@pytest.mark.parametrize("rows", [1, 7, 8, 9])
def test_every_row_is_evaluated_once_whatever_the_size_of_a_batch(rows, size):
    program = Program(make_step(), powers(2), 2, size, jit=False)
    labels = np.random.default_rng(rows).integers(0, 50, rows).astype(np.int32)
    split = Split(np.zeros((rows, 1), np.float32), labels)
    assert program.evaluate(split) == [{"loss": pytest.approx(labels.mean(), rel=1e-6)}]
    assert program.step.metrics["loss"].count.numpy() == 0  # taken, so reset


def test_results_are_reset_when_they_are_taken():
    program = recording(4, 2)
    order = np.arange(4, dtype=np.int32)
    epoch(program, order, [2])
    assert program.take_results() == [{"loss": (3 + 12) / 2}]
    program.shuffle(order[None])
    run(program, 0, 1)
    assert program.take_results() == [{"loss": 3.0}]


# -- what XLA can't compile


@pytest.mark.parametrize("kind", [WithPython, WithStrings])
@pytest.mark.parametrize("jit", [True, "auto"])
def test_a_step_that_xla_cannot_compile_runs_as_a_graph_and_says_so(kind, jit):
    said: list[str] = []
    program = recording(10, 4, kind, jit=jit, notice=said.append)
    order = row_order(0, 0, 10)
    assert epoch(program, order, [2, 1]).tolist() == pytest.approx(sums(order, 4))
    assert program.compilation.jit is False
    assert "XLA can't compile" in program.compilation.reason
    assert program.step.traced == 2
    [line] = said
    assert "\n" not in line
    assert line.startswith("The step runs as a TensorFlow graph")


def test_nothing_is_said_when_xla_was_not_asked_for():
    program = recording(10, 4, WithPython, jit=False, notice=pytest.fail)
    order = row_order(0, 0, 10)
    assert epoch(program, order, [3]).tolist() == sums(order, 4)


def test_compiling_leaves_the_state_as_it_is(program):
    from src.engine import state

    digests = {state.sha256(program(f"jit={jit}")[0].snapshot()) for jit in ("true", "false")}
    eager, _ = program("eager=true", "jit=auto")
    assert digests == {state.sha256(eager.snapshot())}


# -- what it computes, against NumPy


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


class ByHand:
    """One hidden layer and gradient descent, in double precision."""

    def __init__(self, state):
        self.w1, self.b1, self.w2, self.b2 = (
            value.astype(np.float64) for name, value in state.items() if name.startswith("model/")
        )

    def forward(self, x):
        x = x.reshape(len(x), -1).astype(np.float64)
        hidden = np.maximum(x @ self.w1 + self.b1, 0)
        return x, hidden, softmax(hidden @ self.w2 + self.b2)

    def update(self, x, labels, rate):
        x, hidden, probabilities = self.forward(x)
        loss = cross_entropy(probabilities, labels)
        right = int((probabilities.argmax(axis=1) == labels).sum())
        down = (probabilities - np.eye(probabilities.shape[1])[labels]) / len(labels)
        down_hidden = (down @ self.w2.T) * (hidden > 0)
        self.w2 -= rate * hidden.T @ down
        self.b2 -= rate * down.sum(axis=0)
        self.w1 -= rate * x.T @ down_hidden
        self.b1 -= rate * down_hidden.sum(axis=0)
        return loss, right


@pytest.mark.parametrize("mode", ["jit=true", "jit=false", "eager=true"])
@pytest.mark.parametrize("batch_size", [8, 64])
def test_losses_metrics_and_weights_are_those_of_a_loop_by_hand(
    program, pictures, mode, batch_size
):
    made, dataset = program(
        "data=arrays",
        f"data.path={pictures}",
        f"data.batch_size={batch_size}",
        "data.evaluation_batch_size=4",
        *(["jit=auto", mode] if mode.startswith("eager") else [mode]),
    )
    reference = ByHand(made.snapshot())
    x, y = dataset.train.x, dataset.train.y
    factors = np.linspace(1, 0.1, 3 * made.updates_per_epoch)
    update = 0
    for number in range(3):
        order = row_order(0, number, 20)
        made.shuffle(order[None])
        rates = 0.5 * factors[update : update + made.updates_per_epoch]
        losses = made.run(0, rates[:, None].astype(np.float32), ONE)[:, 0]
        expected, right, weighted = [], 0, 0.0
        for place, rate in enumerate(rates):
            rows = order[place * batch_size : (place + 1) * batch_size]
            loss, hits = reference.update(x[rows], y[rows], rate)
            expected.append(loss)
            right += hits
            weighted += loss * len(rows)
        update += len(rates)
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
        [trained] = made.take_results()
        # The mean over the rows, not over the batches: the last batch is smaller.
        assert trained["loss"] == pytest.approx(weighted / 20, rel=1e-5)
        assert trained["accuracy"] == pytest.approx(right / 20)
        [validated] = made.evaluate(dataset.val)
        probabilities = reference.forward(dataset.val.x)[2]
        assert validated == {
            "loss": pytest.approx(cross_entropy(probabilities, dataset.val.y), rel=1e-5),
            "accuracy": pytest.approx((probabilities.argmax(axis=1) == dataset.val.y).mean()),
        }
    names = [name for name in made.snapshot() if name.startswith("model/")]
    weights = (reference.w1, reference.b1, reference.w2, reference.b2)
    for name, expected_weights in zip(names, weights, strict=True):
        np.testing.assert_allclose(made.snapshot()[name], expected_weights, rtol=1e-4, atol=1e-6)
    assert int(made.step.optimizer.iterations.numpy()) == update


def test_a_network_with_batch_normalisation_and_momentum_equals_an_eager_loop(program, pictures):
    overrides = (
        "data=arrays",
        f"data.path={pictures}",
        "data.batch_size=8",
        "model=cnn",
        "model.filters=[3]",
        "optimizer=momentum",
        "loss.label_smoothing=0.1",
    )
    made, dataset = program(*overrides)
    twin, _ = program(*overrides, "eager=true")
    model, loss_of = twin.step.model, SparseCategoricalCrossentropy(True, 0.1, "mean")
    velocities = [tf.zeros(variable.shape) for variable in model.trainable_variables]
    expected = []
    for number in range(2):
        order = row_order(0, number, 20)
        made.shuffle(order[None])
        losses = run(made, 0, 3, rate=0.05)
        for rows in (order[:8], order[8:16], order[16:]):
            with tf.GradientTape() as tape:
                predictions = model(dataset.train.x[rows], training=True)
                loss = loss_of(dataset.train.y[rows], predictions)
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            for place, gradient in enumerate(gradients):
                velocities[place] = 0.9 * velocities[place] - 0.05 * gradient
                model.trainable_variables[place].assign_add(velocities[place])
            expected.append(float(loss))
        np.testing.assert_allclose(losses, expected[-3:], rtol=1e-4)
    assert any("moving_variance" in variable.path for variable in model.variables)
    for ours, theirs in zip(made.step.model.variables, model.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer=adam",),
        ("model=linear", "data.batch_size=64", "optimizer=rmsprop"),
    ],
    ids=" ".join,
)
def test_xla_and_graph_agree(program, overrides):
    losses = []
    for mode in ("jit=true", "jit=false"):
        made, _ = program(*overrides, mode)
        assert made.compilation.jit is (mode == "jit=true")
        made.shuffle(row_order(0, 0, 20)[None])
        losses.append(run(made, 0, made.updates_per_epoch, rate=0.01))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert len(set(losses[0].tolist())) == len(losses[0])


def test_a_penalty_on_the_weights_is_part_of_the_loss_and_of_the_gradient(tensorflow):
    model = keras.Sequential(
        [
            keras.layers.Input((1,)),
            keras.layers.Dense(
                1, use_bias=False, kernel_initializer="ones", kernel_regularizer="l2"
            ),
        ]
    )
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    from src.steps.standard import Standard

    step = Standard(
        model,
        optimizer,
        keras.losses.MeanSquaredError(),
        {"loss": keras.metrics.Mean()},
    )
    x = np.array([[2.0]], np.float32)
    made = Program(step, Split(x, np.array([[1.0]], np.float32)), 1, 1, jit=False)
    made.shuffle(np.zeros((1, 1), np.int32))
    # w = 1: loss (2 w - 1)^2 + 0.01 w^2 = 1.01; gradient 4 (2 w - 1) + 0.02 w = 4.02
    assert run(made, 0, 1, rate=0.5)[0] == pytest.approx(1.01)
    assert float(model.trainable_variables[0].numpy()[0, 0]) == pytest.approx(1 - 0.5 * 4.02)


def test_scores_know_nothing_of_an_epoch_that_was_begun(program):
    """A checkpoint within an epoch holds the metrics of what was trained of it."""
    made, dataset = program()
    expected = made.evaluate(dataset.val)[0]
    made.shuffle(row_order(0, 0, made.rows)[None])
    made.run(0, np.zeros((2, 1), np.float32), ONE)  # weights stay
    assert made.evaluate(dataset.val)[0] == expected

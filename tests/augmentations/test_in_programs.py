"""What augmentations promise in compiled programs: rows alone decide, and evaluation sees none."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.augmentations.augmentation import Augmentation, row_numbers
from src.augmentations.chain import Chain
from src.data.dataset import Split
from src.engine import state
from src.engine.fused import FusedProgram
from src.engine.program import Program
from src.fit import row_order
from src.steps.step import Step

SHAPE = (5, 4, 1)
ROWS = 7
X = np.random.default_rng(0).random((ROWS, *SHAPE), np.float32) + 1
SPLIT = Split(X, np.arange(ROWS, dtype=np.int32))
PARTS = {
    "flip": {"_target_": "src.augmentations.flip.Flip", "probability": 0.5},
    "crop": {"_target_": "src.augmentations.crop.Crop", "padding": 1},
    "cutout": {"_target_": "src.augmentations.cutout.Cutout", "size": 2},
}


class Collecting(Step):
    """Keeps the rows that it was given, where their labels say; its metric is their mean."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.seen = keras.Variable(np.zeros((ROWS, *SHAPE), np.float32), name="seen")

    @property
    def state(self):
        return super().state | {"seen": [self.seen]}

    def train(self, x, y):
        here = tf.one_hot(y, ROWS, axis=0)  # (ROWS, batch)
        self.seen.assign(self.seen + tf.einsum("rb,bhwc->rhwc", here, x))
        return tf.reduce_sum(x)

    def evaluate(self, x, y):
        self.metrics["loss"].update_state(x)


def make_step():
    model = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten()])
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.MeanSquaredError()
    return Collecting(model, optimizer, loss, {"loss": keras.metrics.Mean()})


def program(batch_size, **changes):
    options: dict[str, Any] = {"jit": False, "augmentation": Chain(SHAPE, PARTS)} | changes
    return Program(make_step(), SPLIT, batch_size, 3, **options)


def epoch(made, seeds=(1,), number=2, order=0):
    """What became of each row in an epoch, for each member."""
    made.shuffle(
        np.stack([row_order(order + seed, 0, ROWS) for seed in seeds]),
        np.stack([row_numbers(seed, number, ROWS, made.numbers) for seed in seeds]),
    )
    rates = np.zeros((made.updates_per_epoch, made.members), np.float32)
    made.run(0, rates, np.ones(made.members, bool))
    return [made.snapshot(member, "seen/").popitem()[1] for member in range(made.members)]


def by_hand(seed, number=2):
    return Chain(SHAPE, PARTS)(tf.constant(X), tf.constant(row_numbers(seed, number, ROWS, 5)))


@pytest.mark.parametrize(
    ("batch_size", "options"), [(1, {}), (3, {}), (7, {}), (3, {"jit": True}), (3, {"eager": True})]
)
def test_seed_epoch_and_row_alone_decide(batch_size, options):
    [found] = epoch(program(batch_size, **options), order=batch_size)
    np.testing.assert_array_equal(found, by_hand(1))


def test_another_seed_or_epoch_changes_rows_otherwise():
    for seed, number in ((0, 2), (1, 1)):
        [found] = epoch(program(3), (seed,), number)
        assert (found != by_hand(1).numpy()).any(axis=(1, 2, 3)).sum() >= 5


@pytest.mark.parametrize("jit", [False, True])
def test_members_have_numbers_of_their_own_seeds_and_take_no_turns(jit):
    step = make_step()
    said: list[str] = []
    states = [state.snapshot(step)] * 3
    chain = Chain(SHAPE, PARTS)
    fused = FusedProgram(step, states, SPLIT, 3, 3, augmentation=chain, jit=jit, notice=said.append)
    assert said == []
    for seed, found in zip((1, 5, 1), epoch(fused, (1, 5, 1)), strict=True):
        np.testing.assert_array_equal(found, by_hand(seed))


def test_evaluation_sees_the_rows_as_they_are():
    made = program(3)
    epoch(made)
    made.take_results()
    assert made.evaluate(SPLIT)[0]["loss"] == pytest.approx(X.mean(), rel=1e-6)


def test_there_is_no_random_operation_in_the_program():
    assert program(3, jit="auto").compilation.jit


def test_an_augmentation_without_a_rule_is_none():
    with pytest.raises(NotImplementedError):
        Augmentation()(tf.zeros([1]), tf.zeros([1, 0]))

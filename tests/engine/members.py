"""What tests of fused programs share: small models, and members trained together or alone."""

from typing import Any

import keras
import numpy as np
import pytest

from src import programs
from src.data.dataset import Split
from src.engine import state
from src.engine.assignment import use_plain_assignments
from src.engine.fused import FusedProgram
from src.fit import row_order
from src.job import load_data
from src.losses.sparse_categorical_crossentropy import SparseCategoricalCrossentropy
from src.steps.standard import Standard

MODELS = {
    "mlp": ["model.hidden=[5]"],
    "dropout": ["model.hidden=[5,4]", "model.dropout=0.4"],
    "linear": ["model=linear"],
    "resnet": ["model=resnet", "model.width=2"],
    "functional": ["model._target_=tests.models.functional.network"],
    "transformer": ["model=transformer", "model.width=4", "model.heads=2", "model.dropout=0.4"],
    "cnn": ["model=cnn", "model.filters=[2,3]"],
    "cnn_dropout": ["model=cnn", "model.filters=[2]", "model.dropout=0.4"],
}
EPOCHS = 8
# Seeds and factors of the learning rate: two members share a seed, two a rate.
MEMBERS = [(0, 1.0), (1, 1.0), (1, 0.3)]


ROWS = Split(np.ones((6, 3), np.float32), np.zeros(6, np.int32))


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


def with_values(configs, part, values):
    """The configurations, each with its own arguments of a part."""
    return [
        config.model_copy(update={part: getattr(config, part).model_copy(update=own)})
        for config, own in zip(configs, values, strict=True)
    ]


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

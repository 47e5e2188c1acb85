"""Gradient accumulation equals larger batches, whatever the optimizer adds to its updates."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from src import programs
from src.fit import row_order
from src.job import load_data
from src.optimizers.accumulation import Accumulation, place

EVERYTHING = (
    "optimizer=adam",
    "optimizer.weight_decay=0.1",
    "optimizer.global_clipnorm=0.5",
    "ema.decay=0.9",
    "schedule=cosine",
    "epochs=2",
)


def test_rule_by_hand():
    weight = keras.Variable([1.0])
    sgd = keras.optimizers.SGD(0.5, weight_decay=0.1)
    sgd.build([weight])
    optimizer = Accumulation(sgd, [weight], 2)
    values = []
    for batch, (rows, gradient) in enumerate([(3, 2.0), (1, 6.0), (2, 4.0)]):
        with place(optimizer, tf.constant(batch), 3, rows):
            optimizer.apply([tf.constant([gradient])], [weight])
        values.append(weight.numpy().item())
    # The mean over four rows is (3 * 2 + 1 * 6) / 4 = 3; the third batch ends the epoch alone.
    second = 1 * 0.95 - 0.5 * 3
    np.testing.assert_allclose(values, [1, second, second * 0.95 - 0.5 * 4], rtol=1e-6)
    assert int(sgd.iterations.numpy()) == 2


def trained(configured, tiny, *overrides):
    config = configured(*tiny(*EVERYTHING, "model=linear", *overrides))
    dataset, factors = load_data(config)
    program = programs.compiled([config], dataset)
    rates = (factors[:, None] * config.optimizer.learning_rate).astype(np.float32)
    count = program.updates_per_epoch
    for epoch in range(config.epochs):
        program.shuffle(row_order(config.seed, epoch, program.rows)[None])
        program.run(0, rates[epoch * count : (epoch + 1) * count], np.ones(1, bool))
    return program.snapshot(), rates


# 20 rows: batches of 4, 4; 4, 4; 4 make 8, 8, 4; of 6, 6; 6, 2 make 12, 8; and 6, 6, 6, 2 make 20
@pytest.mark.parametrize(("batch", "accumulate", "whole"), [(4, 2, 8), (6, 2, 12), (6, 9, 20)])
def test_it_equals_a_larger_batch(configured, tiny, tensorflow, batch, accumulate, whole):
    sizes = f"data.batch_size={batch}", f"accumulate={accumulate}"
    found, rates = trained(configured, tiny, *sizes)
    expected, whole_rates = trained(configured, tiny, f"data.batch_size={whole}")
    for name, value in expected.items():
        if not name.startswith("metrics/"):
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert list(dict.fromkeys(rates.ravel())) == list(dict.fromkeys(whole_rates.ravel()))
    assert not any(v.any() for n, v in found.items() if n.endswith(("_gradients", "gathered_rows")))


@pytest.mark.parametrize("override", ["accumulate=0", "accumulate=1.5", "accumulate=many"])
def test_wrong_numbers_are_refused(composed, override):
    from src.config import validate
    from src.errors import UserError

    with pytest.raises(UserError, match=r"^accumulate="):
        validate(composed(override))

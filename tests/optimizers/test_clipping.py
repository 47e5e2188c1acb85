"""Gradient clipping by hand, as keys of any optimizer."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.build import build
from src.data.load import load
from src.errors import UserError

OPTIMIZERS = sorted(path.stem for path in Path("conf/optimizer").glob("*.yaml"))


@pytest.fixture
def optimizer(configured, tiny):
    """The optimizer of overrides, as a run has it."""

    def make(*overrides):
        config = configured(*tiny(*overrides))
        return build(config, load(config.data.model_dump(by_alias=True), 0), 0).optimizer

    return make


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        # gradients (3, 4) of norm 5 and (0, 12) of norm 12: 13 together
        ("clipvalue=3.5", [(3, 3.5), (0, 3.5)]),
        ("clipnorm=10", [(3, 4), (0, 10)]),
        ("global_clipnorm=1.3", [(0.3, 0.4), (0, 1.2)]),
        ("global_clipnorm=14", [(3, 4), (0, 12)]),
    ],
)
def test_by_hand_with_weight_decay_outside(optimizer, override, expected):
    made = optimizer("optimizer=sgd", f"optimizer.{override}", "optimizer.weight_decay=0.1")
    fresh = type(made).from_config(made.get_config() | {"learning_rate": 0.5})
    weights = [keras.Variable([10.0, 20.0]), keras.Variable([30.0, 40.0])]
    fresh.build(weights)
    fresh.apply([tf.constant([3.0, 4.0]), tf.constant([0.0, 12.0])], weights)
    decayed = np.array([(10, 20), (30, 40)]) * (1 - 0.5 * 0.1)
    np.testing.assert_allclose(
        [weight.numpy() for weight in weights], decayed - 0.5 * np.array(expected), rtol=1e-6
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_the_keys(optimizer, name):
    made = optimizer(f"optimizer={name}", "optimizer.global_clipnorm=1")
    assert (made.global_clipnorm, made.clipnorm, made.clipvalue) == (1, None, None)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["clipnorm=0"], "optimizer.clipnorm=0: input should be greater than 0"),
        (["clipvalue=-1"], "optimizer.clipvalue=-1: input should be finite and not negative"),
        (["global_clipnorm=inf"], "optimizer.global_clipnorm=inf"),
        (["global_clipnorm=one"], "optimizer.global_clipnorm=one: input should be a number"),
        (["clipnorm=true"], "optimizer.clipnorm=True: input should be a number"),
        (["clipnorm=1", "global_clipnorm=1"], "optimizer.global_clipnorm=1: clipnorm is set"),
    ],
)
def test_wrong_values_are_refused(composed, overrides, said):
    from src.config import validate

    with pytest.raises(UserError) as raised:
        validate(composed(*(f"optimizer.{override}" for override in overrides)))
    assert str(raised.value).startswith(said)

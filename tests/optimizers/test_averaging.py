"""The moving average of the weights: its rule by hand, and where it takes the weights' place."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from src import programs, restored
from src.job import load_data
from src.optimizers.averaging import Averaging, averaged
from src.recorded import Recorded
from tests.engine.members import train

EMA = ("ema.decay=0.9", "optimizer=momentum")


@pytest.fixture
def model():
    """A weight of 2, and a normalisation that is trained in part."""
    made = keras.Sequential(
        [
            keras.layers.Input((1,)),
            keras.layers.Dense(1, use_bias=False),
            keras.layers.BatchNormalization(name="normalisation"),
        ]
    )
    made.layers[0].kernel.assign([[2.0]])
    made.layers[1].gamma.trainable = False
    return made


def updated(model, decay, gradients):
    """The weight and its average after each update by descent with a learning rate of 0.5."""
    weights = model.trainable_variables[:1]
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(weights)
    wrapped = Averaging(optimizer, model, decay)
    values = []
    for gradient in gradients:
        wrapped.apply([tf.constant([[gradient]])], weights)
        values.append([float(v.numpy().item()) for v in wrapped.pairs[0]])
    return wrapped, np.array(values)


def test_rule_by_hand(model):
    # Weights 1.5 and 1.0; the averages keep (1 + 1) / (10 + 1) and (1 + 2) / (10 + 2) at first.
    first = 2 - 9 / 11 * (2 - 1.5)
    expected = [(1.5, first), (1.0, first - 0.75 * (first - 1.0))]
    np.testing.assert_allclose(updated(model, 0.9, [1.0, 1.0])[1], expected, rtol=1e-6)


def test_it_never_keeps_more_than_its_decay(model):
    # 0.1 < 2 / 11
    np.testing.assert_allclose(updated(model, 0.1, [1.0])[1], [(1.5, 0.1 * 2 + 0.9 * 1.5)])


def test_moving_statistics_are_averaged_and_what_is_frozen_is_not(model):
    wrapped, _ = updated(model, 0.5, [1.0])
    assert [weight.path.split("/")[-1] for weight, _ in wrapped.pairs] == [
        "kernel",
        "beta",
        "moving_mean",
        "moving_variance",
    ]
    assert [v.path for v in wrapped.variables[: len(wrapped.inner.variables)]] == [
        v.path for v in wrapped.inner.variables
    ]  # an average changes the place of no other variable in the state


def test_weights_are_exchanged_and_given_back(model):
    wrapped, values = updated(model, 0.9, [1.0])
    with averaged(wrapped):
        assert float(model.layers[0].kernel.numpy().item()) == values[0, 1]
    assert float(model.layers[0].kernel.numpy().item()) == 1.5


@pytest.mark.parametrize("override", ["ema.decay=1", "ema.decay=-0.1", "ema.decay=much"])
def test_wrong_decays_are_refused(composed, override):
    from src.config import validate
    from src.errors import UserError

    with pytest.raises(UserError, match=r"^ema\.decay="):
        validate(composed(override))


def test_kerass_own_is_answered_with_the_key(composed):
    from src.config import validate
    from src.errors import UserError

    with pytest.raises(UserError, match=r"^optimizer\.use_ema=True: give ema\.decay in its place"):
        validate(composed("+optimizer.use_ema=true"))


def test_evaluation_uses_the_averages_and_leaves_the_weights(configured, tiny, tensorflow):
    config = configured(*tiny(*EMA))
    dataset, _ = load_data(config)
    program = programs.compiled([config], dataset)
    _, metrics = train(program, [config], dataset, epochs=1)
    before = program.snapshot()
    [scores] = program.evaluate(dataset.val)
    after = program.snapshot()
    assert {n: v.tobytes() for n, v in after.items()} == {n: v.tobytes() for n, v in before.items()}
    assert scores == metrics[0][1][0]
    # The averages as weights of a run that averages nothing have the same scores.
    plain = programs.compiled([configured(*tiny("optimizer=momentum"))], dataset)
    plain.restore(program.evaluated())
    assert plain.evaluate(dataset.val) == [scores]
    plain.restore(program.snapshot(owner="model/"))
    assert plain.evaluate(dataset.val) != [scores]


def test_the_best_checkpoint_and_the_scores_of_it_are_of_the_averages(
    trained, newest_of, configured, tiny
):
    run = trained(*EMA, "epochs=2", "tracking.artifacts=full", "monitor=train/loss")
    found = newest_of(run.folder)
    assert run.best.epoch == run.epoch
    averages = {name.split("/")[-1]: v for name, v in found.last.items() if "_average" in name}
    assert len(averages) == len(found.best) == 4
    for name, kept in found.best.items():
        path = "_".join(name.split("/")[2:])
        np.testing.assert_array_equal(kept, averages[f"{path}_average"])
    config = configured(*tiny("optimizer=momentum"))
    dataset, _ = load_data(config)
    plain = programs.compiled([config], dataset)
    plain.restore(found.best)
    assert dataset.test is not None
    [scores] = plain.evaluate(dataset.test)
    summary = json.loads((run.folder / "artifacts" / "summary.json").read_text())
    assert summary["metrics"]["test/loss"] == scores["loss"]
    # src.evaluate builds the run again; its best epoch is its last, so both have these averages.
    recorded = Recorded.find(str(run.folder), run.folder)
    for which in ("best", "last"):
        again, _ = restored.program(recorded, recorded.config, dataset, which)
        assert again.evaluate(dataset.test) == [scores]
    exported = tf.saved_model.load(str(run.folder / "model"))
    expected = tf.nn.softmax(plain.step.model(dataset.test.x))  # exported models give probabilities
    np.testing.assert_allclose(exported(dataset.test.x), expected, rtol=1e-5, atol=1e-6)

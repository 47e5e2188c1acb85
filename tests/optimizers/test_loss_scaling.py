"""Loss scaling by hand, and a run in mixed precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from src import programs
from src.errors import UserError
from src.job import load_data
from src.optimizers import loss_scaling
from src.optimizers.loss_scaling import LossScaling
from tests.engine.members import train


@pytest.fixture
def weight():
    return keras.Variable([1.0])


@pytest.fixture
def optimizer(weight):
    inner = keras.optimizers.SGD(0.5, momentum=0.9)
    inner.build([weight])
    return LossScaling(inner)


def test_rule_by_hand(weight, optimizer, monkeypatch):
    monkeypatch.setattr(loss_scaling, "GROWTH", 2)
    seen = []
    for gradient in (np.inf, 2.0, 2.0, np.nan):
        scale = float(optimizer.scale_loss(tf.constant(1.0)))
        optimizer.apply([tf.constant([gradient * scale], tf.float32)], [weight])
        skipped = next(v for v in optimizer.variables if v.name == loss_scaling.SKIPPED)
        seen.append((scale, weight.numpy().item(), int(skipped.numpy())))
    # Two updates with a gradient of 2: velocity -1, then -0.9 - 1.
    np.testing.assert_allclose(
        seen, [(2**15, 1, 1), (2**14, 0, 1), (2**14, -1.9, 1), (2**15, -1.9, 2)], rtol=1e-6
    )
    assert float(optimizer.scale_loss(tf.constant(1.0))) == 2**14
    assert int(optimizer.iterations.numpy()) == 2


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_compute_in_16_bits_and_all_else_in_32(configured, tiny, tensorflow, precision):
    config = configured(*tiny(f"precision={precision}"))
    dataset, _ = load_data(config)
    program = programs.compiled([config], dataset)
    short = precision.removeprefix("mixed_")
    assert program.step.model.dense_layers[0].compute_dtype == short
    assert program.step.model(dataset.val.x).dtype == "float32"  # logits
    assert {v.dtype for v in program.step.model.variables} == {"float32"}
    losses, metrics = train(program, [config], dataset, epochs=2)
    plain_config = configured(*tiny())
    plain = programs.compiled([plain_config], dataset)
    expected, expected_metrics = train(plain, [plain_config], dataset, epochs=2)
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, expected, rtol=2e-2)
    assert not np.array_equal(losses, expected)
    assert metrics[-1][1][0]["loss"] == pytest.approx(expected_metrics[-1][1][0]["loss"], rel=2e-2)
    assert keras.config.dtype_policy().name == "float32"


def test_gradients_below_float16_are_kept(configured, tiny, tensorflow):
    """Gradients below 6e-8 are zeros in float16."""
    config = configured(*tiny("precision=mixed_float16", "model.activation=linear"))
    dataset, _ = load_data(config)
    program = programs.compiled([config], dataset)
    step, x = program.step, tf.constant(dataset.val.x)

    def gradient(scaled):
        with tf.GradientTape() as tape:
            loss = 1e-8 * tf.reduce_mean(step.model(x)[:, 0])
            loss = step.optimizer.scale_loss(loss) if scaled else loss
        return tape.gradient(loss, step.weights)[0].numpy()  # of the hidden layer

    assert not gradient(scaled=False).any()
    assert gradient(scaled=True).all()


def test_a_step_that_does_not_scale_its_loss_is_refused(configured, tiny, tensorflow, monkeypatch):
    from src.steps.standard import Standard

    monkeypatch.setattr(Standard, "SCALES_LOSS", False)
    config = configured(*tiny("precision=mixed_float16"))
    with pytest.raises(UserError, match=r"^precision=mixed_float16: Standard does not scale"):
        programs.compiled([config], load_data(config)[0])


def test_the_record_says_how_many_updates_were_skipped(trained, journal_of):
    journal = journal_of(trained("precision=mixed_float16", "epochs=1").folder)
    tags = journal.tags
    assert journal.updates["update/loss_scale"].tolist() == [2.0**15] * 3
    assert journal.updates["update/skipped_updates"].tolist() == [0] * 3
    assert (tags["loss_scale"], tags["skipped_updates"]) == ("32768", "0")
    assert "loss_scale" not in journal_of(trained("epochs=1").folder).tags

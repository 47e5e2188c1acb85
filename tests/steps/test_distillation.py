"""Distillation against the rule written in NumPy, and which teachers are taken."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.data.inputs import Inputs
from src.errors import UserError
from src.steps.distillation import Distillation, Teacher
from tests.steps.parts import RATE, W, X, dataset, linear

LABELS = np.array([0, 1, 1], np.int32)
OF_TEACHER = np.array([[1.5, -0.5], [0.25, 1]], np.float32)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def made(*, probabilities=False, temperature=3.0, alpha=0.7):
    rows = dataset(y=LABELS, labels="integer")

    def load(wanted, digest):
        assert (wanted, digest) == ("it", "its digest")
        layers = [keras.layers.Dense(2, use_bias=False)]
        layers += [keras.layers.Softmax()] if probabilities else []
        model = keras.Sequential([keras.Input((2,)), *layers])
        model.set_weights([OF_TEACHER])
        return Teacher(model, not probabilities, Inputs.of(rows))

    step = linear(
        Distillation,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        dataset=rows,
        load_teacher=load,
        teacher="it",
        teacher_sha256="its digest",
        temperature=temperature,
        alpha=alpha,
    )
    step.metrics["error"] = keras.metrics.SparseCategoricalAccuracy()
    return step


@pytest.mark.parametrize("probabilities", [False, True])
def test_one_update_by_hand(tensorflow, probabilities):
    step = made(probabilities=probabilities)
    loss = step.train(tf.constant(X), tf.constant(LABELS))
    x, t, a = X.astype(float), 3.0, 0.7
    p, q = softmax(x @ OF_TEACHER / t), softmax(x @ W / t)
    hard = -np.log(softmax(x @ W)[np.arange(3), LABELS]).mean()
    soft = (p * np.log(p / q)).sum(axis=1).mean()
    assert float(loss) == pytest.approx((1 - a) * hard + a * t**2 * soft, rel=1e-5)
    slope = (1 - a) * (softmax(x @ W) - np.eye(2)[LABELS]) + a * t * (q - p)
    [weights] = step.model.get_weights()
    np.testing.assert_allclose(weights, W - RATE * x.T @ slope / 3, rtol=1e-4)


def test_the_teacher_stays_as_it_is_and_is_no_state(tensorflow):
    step = made()
    names = [v.path for owned in step.state.values() for v in owned]
    step.train(tf.constant(X), tf.constant(LABELS))
    np.testing.assert_array_equal(step.teacher.model.get_weights()[0], OF_TEACHER)
    assert not {v.path for v in step.teacher.model.variables} & set(names)


def test_validation_has_the_loss_of_the_labels(tensorflow):
    step = made()
    step.evaluate(tf.constant(X), tf.constant(LABELS))
    expected = -np.log(softmax(X.astype(float) @ W)[np.arange(3), LABELS]).mean()
    assert float(step.metrics["loss"].result()) == pytest.approx(expected, rel=1e-5)


# -- from a recorded run


@pytest.fixture
def distilled(trained):
    """Train a student."""
    return lambda *overrides: trained("step=distillation", "epochs=2", *overrides)


@pytest.fixture
def copy(teacher, tmp_path):
    """A teacher's folder of this test's own."""
    return Path(shutil.copytree(teacher().removeprefix("step.teacher="), tmp_path / "teacher"))


def test_the_record_says_which_weights_it_learnt_from(distilled, copy):
    run = distilled(f"step.teacher={copy}")
    manifest = next((copy / "checkpoints").glob("*/manifest.json")).read_text()
    digest = run.tracker.record.params["step.teacher_sha256"]
    assert len(digest) == 64
    assert digest in manifest
    assert run.tracker.record.params["step.teacher"] == str(copy)


def test_a_run_resumes_with_the_teacher_it_had_alone(distilled, copy, teacher, trained):
    run = distilled(f"step.teacher={copy}")
    longer = trained(f"resume={run.folder}", "epochs=3")
    assert longer.folder == run.folder
    shutil.rmtree(copy)
    shutil.copytree(teacher("seed=5").removeprefix("step.teacher="), copy)
    with pytest.raises(UserError, match=r"step\.teacher_sha256: the run in .* this command"):
        trained(f"resume={run.folder}", "epochs=4")
    digest = run.tracker.record.params["step.teacher_sha256"]
    with pytest.raises(UserError, match=r"its best weights are no longer those of"):
        distilled(f"step.teacher={copy}", f"step.teacher_sha256={digest}")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "step.teacher: name the run to learn from"),
        (["step.teacher=nobody"], "step.teacher=nobody: neither a run id nor a run's folder"),
        (["COPY", "data.features=4"], r"it was trained with input_shape \(3,\), random has \(4,\)"),
        (["COPY", "data.classes=3"], "it was trained with num_classes 4, random has 3"),
        (["COPY", "data.normalisation=range"], "it was trained on rows that were scaled otherwise"),
        (["COPY", "loss=mean_squared_error", "metrics=[]"], "step=distillation: MeanSquaredError"),
        (["COPY", "step.temperature=0"], "step.temperature=0: input should be greater than 0"),
        (["COPY", "step.alpha=1.5"], "step.alpha=1.5: input should be less than or equal to 1"),
    ],
)
def test_what_can_not_teach_is_refused_in_one_line(distilled, teacher, overrides, said):
    given = [teacher() if override == "COPY" else override for override in overrides]
    with pytest.raises(UserError, match=said) as raised:
        distilled(*given)
    assert "\n" not in str(raised.value)


def test_a_damaged_or_missing_checkpoint_is_named(distilled, copy):
    [best] = (copy / "checkpoints").glob("*/best.safetensors")
    best.write_bytes(best.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"^step\.teacher=\S+: .*best\.safetensors"):
        distilled(f"step.teacher={copy}")
    (best.parent / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json can't be read"):
        distilled(f"step.teacher={copy}")
    shutil.rmtree(best.parent)
    with pytest.raises(UserError, match="no epoch of that run has been validated"):
        distilled(f"step.teacher={copy}")


def test_a_model_of_16_bits_is_compared_in_32(tensorflow):
    step = made()
    half = tf.constant([[2.0, -1.0]], tf.float16)
    found = step.softened(half, True)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(np.exp(found), softmax(np.array([[2.0, -1.0]]) / 3), rtol=1e-6)

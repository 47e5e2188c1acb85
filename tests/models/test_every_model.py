"""What the harness asks of each model: shapes, serialisation, purity, precision."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from src.targets import call, locate

IMAGES = np.random.default_rng(0).normal(size=(7, 6, 5, 2)).astype(np.float32)
NAMES = ["mlp", "linear", "cnn", "resnet", "transformer"]
OFFERED = {"num_classes": 4, "vocabulary": None, "each_position": False}
WITH_DROPOUT = ["mlp", "cnn", "transformer"]


@pytest.mark.parametrize("path", sorted(Path("conf/model").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_choice_builds(path):
    config = yaml.safe_load(path.read_text())
    model_class = locate(config.pop("_target_"), "model._target_")
    model = call(model_class, config, key="model", offered=OFFERED)
    assert model(IMAGES).shape == (7, 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 7])
def test_gives_logits_for_images(make, name, rows):
    model = make(name)
    assert model(IMAGES[:rows]).shape == (rows, 3)
    assert model(IMAGES[:rows], training=True).shape == (rows, 3)


@pytest.mark.parametrize("name", NAMES)
def test_building_by_shape_equals_building_by_the_first_batch(make, name):
    first, second = make(name), make(name)
    first.build((None, 6, 5, 2))
    second(IMAGES)
    assert [v.path for v in first.variables] == [v.path for v in second.variables]
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_is_loaded_in_safe_mode(make, name, tmp_path):
    model = make(name)
    expected = model(IMAGES)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded(IMAGES), expected)


@pytest.mark.parametrize("name", NAMES)
def test_its_configuration_makes_it_again(make, name):
    model = make(name)
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("jit", [False, True])
def test_is_a_pure_function_of_its_variables(make, name, jit):
    """Inside a StatelessScope and a compiled program it neither reads nor keeps anything else."""
    model = make(name, **({"dropout": 0.0} if name in WITH_DROPOUT else {}))
    model.build((None, 6, 5, 2))
    before = model.get_weights()

    @tf.function(jit_compile=jit)
    def pure(state, x):
        with keras.StatelessScope(
            state_mapping=list(zip(model.variables, state, strict=True))
        ) as s:
            logits = model(x, training=True)
        return logits, [s.get_current_value(v) for v in model.variables]

    logits, after = pure([tf.constant(value) for value in before], IMAGES)
    for value, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)
    np.testing.assert_allclose(model(IMAGES, training=True), logits, rtol=1e-4, atol=1e-5)
    for value, pure_value in zip(model.variables, after, strict=True):
        if pure_value is not None:
            np.testing.assert_allclose(value, pure_value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("policy", "logits"), [("mixed_float16", "float32"), ("float64", "float64")]
)
def test_logits_have_the_precision_of_the_variables(make, name, policy, logits):
    model = make(name, dtype=policy)
    assert keras.backend.standardize_dtype(model(IMAGES).dtype) == logits
    assert {v.dtype for v in model.trainable_variables} == {logits}


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_of_zero_adds_no_random_state(make, name):
    model = make(name, dropout=0.0)
    model.build((None, 6, 5, 2))
    assert not any("seed" in v.path for v in model.variables)


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_acts_in_training_alone(make, name):
    model = make(name)
    np.testing.assert_array_equal(model(IMAGES), model(IMAGES))
    assert np.abs(model(IMAGES, training=True) - model(IMAGES, training=True)).max() > 1e-3

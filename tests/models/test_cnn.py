"""The convolutional network: computed beside it in NumPy, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from src.errors import UserError
from src.models.cnn import CNN
from src.targets import call

PLAIN: dict[str, Any] = {
    "num_classes": 3,
    "filters": [4],
    "kernel_size": 3,
    "downsampling": "max_pool",
    "activation": "relu",
    "dropout": 0.0,
    "normalisation_momentum": 0.5,
}


def in_numpy(x, kernel, gamma, beta, mean, variance, weights, bias):
    """One block with max pooling on a picture (height, width, channels) of even size."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    y = np.array(
        [
            [np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) for j in range(width)]
            for i in range(height)
        ]
    )
    y = np.maximum((y - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)
    pooled = y.reshape(height // 2, 2, width // 2, 2, -1).max(axis=(1, 3))
    return pooled.ravel() @ weights + bias


def test_equals_the_same_in_numpy():
    model = CNN(**PLAIN)
    x = np.random.default_rng(0).normal(size=(5, 6, 4, 2)).astype(np.float32)
    model(x, training=True)  # moves the running figures off 0 and 1
    by_name = {v.path.removeprefix("cnn/"): np.asarray(v) for v in model.variables}
    norm = "normalisation_1/"
    weights = (
        by_name["convolution_1/kernel"],
        by_name[norm + "gamma"],
        by_name[norm + "beta"],
        by_name[norm + "moving_mean"],
        by_name[norm + "moving_variance"],
        by_name["logits/kernel"],
        by_name["logits/bias"],
    )
    assert len(weights) == len(by_name)
    expected = [in_numpy(row, *weights) for row in x]
    np.testing.assert_allclose(model(x, training=False), expected, rtol=1e-4, atol=1e-5)


def test_running_figures_move_by_the_momentum():
    model = CNN(**{**PLAIN, "kernel_size": 1, "filters": [1]})
    x = np.array([1.0, 3.0], np.float32).reshape(2, 1, 1, 1)  # mean 2, variance 1
    model.build(x.shape)
    model.blocks[0].set_weights([np.ones((1, 1, 1, 1))])
    model(x, training=True)
    mean, variance = (np.asarray(v).item() for v in model.non_trainable_variables)
    assert mean == pytest.approx(0.5 * 0 + 0.5 * 2)
    assert variance == pytest.approx(0.5 * 1 + 0.5 * 1)


@pytest.mark.parametrize("downsampling", ["max_pool", "stride"])
def test_each_block_halves_the_picture_and_odd_sizes_round_up(downsampling):
    model = CNN(**{**PLAIN, "filters": [2, 3], "downsampling": downsampling})
    model.build((None, 7, 1, 1))  # 7 -> 4 -> 2 and 1 -> 1 -> 1
    assert model.logits.kernel.shape == (2 * 1 * 3, 3)


def test_pictures_without_a_channel_axis_get_one():
    model = CNN(**PLAIN)
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(model(x), model(x[..., np.newaxis]))


@pytest.mark.parametrize("shape", [(None, 32), (None, 2, 2, 2, 1)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(UserError, match=r"model=cnn: .*has shape .*; use model=mlp"):
        CNN(**PLAIN).build(shape)


def test_and_refused_in_the_same_words_when_called():
    with pytest.raises(UserError, match=r"^model=cnn: it takes pictures .*\(32,\); use model=mlp$"):
        CNN(**PLAIN)(np.zeros((1, 32), np.float32))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"filters": []}, r"model\.filters"),
        ({"filters": [8, 0]}, r"model\.filters"),
        ({"kernel_size": 0}, r"model\.kernel_size=0"),
        ({"downsampling": "crop"}, r"model\.downsampling=crop"),
        ({"activation": "swishy"}, r"model\.activation=swishy"),
        ({"normalisation_momentum": 1.0}, r"model\.normalisation_momentum=1\.0"),
    ],
)
def test_mistakes_name_the_key(keys, message):
    with pytest.raises(UserError, match=message):
        call(CNN, {**PLAIN, **keys}, key="model")

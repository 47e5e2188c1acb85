"""The residual network: its depth, its shortcuts, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from src.errors import UserError
from src.models.resnet import ResidualBlock, ResNet
from src.targets import call

PLAIN: dict[str, Any] = {
    "num_classes": 3,
    "depth": 8,
    "width": 2,
    "stem_stride": 1,
    "normalisation_momentum": 0.9,
}


@pytest.mark.parametrize("depth", [8, 14])
def test_depth_counts_the_layers_with_weights_without_shortcuts(depth):
    model = ResNet(**{**PLAIN, "depth": depth})
    model.build((None, 8, 8, 1))
    kernels = [v.path for v in model.trainable_variables if v.path.endswith("kernel")]
    assert len([path for path in kernels if "shortcut" not in path]) == depth
    assert len([path for path in kernels if "shortcut" in path]) == 2


def test_parameters_are_those_of_the_papers_network_for_cifar():
    model = ResNet(num_classes=10, depth=20, width=16, stem_stride=1, normalisation_momentum=0.9)
    model.build((None, 32, 32, 3))
    # He et al. 2016 give 0.27 million; by hand, with projections and biases of the norms:
    stem = 3 * 9 * 16 + 2 * 16
    stages = 0
    for before, width in ((16, 16), (16, 32), (32, 64)):
        stages += 9 * before * width + 5 * 9 * width**2 + 6 * 2 * width
        stages += before * width + 2 * width if before != width else 0
    assert model.count_params() - sum(
        int(np.prod(v.shape)) for v in model.non_trainable_variables
    ) == (stem + stages + 64 * 10 + 10)


def test_a_block_whose_branch_is_zero_passes_its_input_through():
    block = ResidualBlock(2, 1, False, 0.9, name="block", dtype=None)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
    block.build(x.shape)
    for variable in block.trainable_variables:
        if "kernel" in variable.path:
            variable.assign(np.zeros(variable.shape))
    np.testing.assert_array_equal(block(x, training=False), np.maximum(x, 0))


def test_stages_halve_the_picture_and_double_the_filters():
    model = ResNet(**{**PLAIN, "stem_stride": 2})
    shape = (None, 9, 8, 1)
    sizes = []
    for layer in model.blocks:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
        sizes.append(tuple(shape[1:]))
    assert sizes[-4:] == [(5, 4, 2), (3, 2, 4), (2, 1, 8), (8,)]


@pytest.mark.parametrize("shape", [(None, 32), (None, 2, 2, 2, 1)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(UserError, match=r"model=resnet: .*has shape .*; use model=mlp"):
        ResNet(**PLAIN).build(shape)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depth": 9}, r"model\.depth: allowed are 8, 14, 20, .*not 9"),
        ({"depth": 2}, r"model\.depth: allowed are 8, 14, 20, .*not 2"),
        ({"width": 0}, r"model\.width=0"),
        ({"stem_stride": 0}, r"model\.stem_stride=0"),
    ],
)
def test_mistakes_name_the_key(keys, message):
    with pytest.raises(UserError, match=message):
        call(ResNet, {**PLAIN, **keys}, key="model")

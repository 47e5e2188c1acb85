"""Models with small settings, by name."""

from typing import Any

import keras
import pytest

from src.models.cnn import CNN
from src.models.linear import Linear
from src.models.mlp import MLP
from src.models.resnet import ResNet
from src.models.transformer import Transformer

SMALL: dict[str, tuple[Any, dict[str, Any]]] = {
    "mlp": (MLP, {"num_classes": 3, "hidden": [5, 4], "activation": "tanh", "dropout": 0.5}),
    "linear": (Linear, {"num_classes": 3}),
    "cnn": (
        CNN,
        {
            "num_classes": 3,
            "filters": [4, 6],
            "kernel_size": 3,
            "downsampling": "max_pool",
            "activation": "relu",
            "dropout": 0.5,
            "normalisation_momentum": 0.5,
        },
    ),
    "resnet": (
        ResNet,
        {
            "num_classes": 3,
            "depth": 8,
            "width": 2,
            "stem_stride": 1,
            "normalisation_momentum": 0.5,
        },
    ),
    "transformer": (
        Transformer,
        {
            "num_classes": 3,
            "vocabulary": None,
            "each_position": False,
            "patch_size": 4,
            "width": 6,
            "depth": 2,
            "heads": 2,
            "dropout": 0.5,
            "causal": None,
        },
    ),
}


@pytest.fixture
def make():
    """Makes the named model, with its weights drawn from seed 0."""

    def make(name, **keys):
        keras.utils.clear_session()  # seed generators are numbered through the whole process
        keras.utils.set_random_seed(0)
        model_class, small = SMALL[name]
        return model_class(**{**small, **keys})

    return make

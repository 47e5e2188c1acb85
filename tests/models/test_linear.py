"""The linear model is one matrix and one vector."""

import numpy as np

from src.models.linear import Linear


def test_by_hand():
    model = Linear(num_classes=2)
    model.build((None, 2, 2))
    model.logits.set_weights([np.array([[1, 0], [2, 0], [3, 0], [4, 1]]), np.array([0.5, -1])])
    x = np.array([[[1.0, 1.0], [1.0, 2.0]]], np.float32)
    assert np.asarray(model(x)).tolist() == [[1 + 2 + 3 + 8 + 0.5, 2 - 1]]


def test_names_are_stable():
    model = Linear(num_classes=2)
    model.build((None, 3))
    assert [v.path for v in model.variables] == ["linear/logits/kernel", "linear/logits/bias"]

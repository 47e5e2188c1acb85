"""The transformer: its patches, what its positions see, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from src.errors import UserError
from src.models.transformer import Transformer, _patches
from src.targets import call

PLAIN: dict[str, Any] = {
    "num_classes": 3,
    "vocabulary": None,
    "each_position": False,
    "patch_size": 2,
    "width": 4,
    "depth": 2,
    "heads": 2,
    "dropout": 0.0,
    "causal": None,
}
TOKENS = {**PLAIN, "vocabulary": 7, "num_classes": 7, "each_position": True}


def test_patches_by_hand():
    picture = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)  # padded to four rows
    expected = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 0, 0], [10, 11, 0, 0]]
    np.testing.assert_array_equal(_patches(picture, 2)[0], expected)


def test_patches_keep_their_channels_together():
    picture = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(_patches(picture, 2)[0], [np.arange(8)])


def test_a_position_with_its_own_label_sees_nothing_behind_it():
    model = Transformer(**TOKENS)
    x = np.array([[1, 2, 3, 4, 5]])
    changed = np.array([[1, 2, 3, 6, 0]])
    before, after = np.asarray(model(x)), np.asarray(model(changed))
    assert before.shape == (1, 5, 7)
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert (np.abs(before[:, 3:] - after[:, 3:]).max(axis=-1) > 1e-3).all()


def test_unless_it_is_told_to():
    model = Transformer(**{**TOKENS, "causal": False})
    before = np.asarray(model(np.array([[1, 2, 3]])))
    after = np.asarray(model(np.array([[1, 2, 6]])))
    assert np.abs(before[:, 0] - after[:, 0]).max() > 1e-5


def test_tokens_with_one_label_a_row():
    model = Transformer(**{**TOKENS, "each_position": False, "num_classes": 2})
    assert model(np.array([[1, 2, 3], [4, 5, 6]])).shape == (2, 2)


def test_the_order_of_positions_counts():
    model = Transformer(**PLAIN)
    x = np.random.default_rng(0).normal(size=(1, 4, 3)).astype(np.float32)
    model.build((None, 4, 3))
    model.positions.assign(np.random.default_rng(1).normal(size=(4, 4)))
    assert np.abs(np.asarray(model(x)) - model(x[:, ::-1])).max() > 1e-4


@pytest.mark.parametrize(
    ("keys", "shape"), [(PLAIN, (None, 32)), (PLAIN, (None, 2, 2, 2, 1)), (TOKENS, (None, 5, 3))]
)
def test_other_inputs_are_refused(keys, shape):
    with pytest.raises(UserError, match=r"model=transformer: .*has shape .*; use model=mlp"):
        Transformer(**keys).build(shape)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"width": 5}, r"model\.width=5: give a multiple of model\.heads=2"),
        ({"heads": 0}, r"model\.heads=0"),
        ({"dropout": 1.0}, r"model\.dropout=1\.0"),
        ({"causal": "perhaps"}, r"model\.causal=perhaps"),
    ],
)
def test_mistakes_name_the_key(keys, message):
    with pytest.raises(UserError, match=message):
        call(Transformer, {**PLAIN, **keys}, key="model")

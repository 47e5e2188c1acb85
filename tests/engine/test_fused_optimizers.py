"""Fused members equal their solo runs with what is done around an optimizer's updates."""

import numpy as np
import pytest

from src import programs
from src.job import load_data
from src.optimizers import loss_scaling
from tests.engine.members import MODELS, compare, same_state, train

AROUND = ("accumulate=2", "ema.decay=0.9", "optimizer.weight_decay=0.1")


def test_accumulation_averages_and_clipping(configs):
    compare(configs(*AROUND, "optimizer=adam", "optimizer.global_clipnorm=0.5", "model=linear"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(configs, precision):
    # Sums of 16 bits in another order differ by 2^-8 and 2^-11 of them.
    given = (f"precision={precision}", *AROUND, "optimizer=momentum", "model.hidden=[5]")
    compare(configs(*given), rtol=3e-2, atol=3e-2)


def test_sam_scales_its_loss_as_each_members_own_optimizer_does(configs, monkeypatch):
    """Past the growth of the loss scale."""
    monkeypatch.setattr(loss_scaling, "GROWTH", 5)
    keys = ["step=sam", "precision=mixed_float16", "optimizer.learning_rate=0.001"]
    made = configs(*keys, *MODELS["linear"])
    dataset, _ = load_data(made[0])
    fused = programs.compiled(made, dataset, force=True)
    losses, _ = train(fused, made, dataset)
    for member, config in enumerate(made):
        alone = programs.compiled([config], dataset, keep=True)
        expected, _ = train(alone, [config], dataset)
        np.testing.assert_allclose(losses[:, member], expected[:, 0], rtol=1e-3)
        scale = next(v for k, v in alone.snapshot().items() if k.endswith("scale"))
        assert scale > 2**15
        same_state(fused.snapshot(member), alone.snapshot(), 1e-3)

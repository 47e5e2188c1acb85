"""Fused members equal their solo runs with what is done around an optimizer's updates."""

import pytest

from tests.engine.members import compare

AROUND = ("accumulate=2", "ema.decay=0.9", "optimizer.weight_decay=0.1")


def test_accumulation_averages_and_clipping(configs):
    compare(configs(*AROUND, "optimizer=adam", "optimizer.global_clipnorm=0.5", "model=linear"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(configs, precision):
    # Sums of 16 bits in another order differ by 2^-8 and 2^-11 of them.
    given = (f"precision={precision}", *AROUND, "optimizer=momentum", "model.hidden=[5]")
    compare(configs(*given), rtol=3e-2, atol=3e-2)

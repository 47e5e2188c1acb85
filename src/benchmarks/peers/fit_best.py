"""Keras `fit` with the flags that make it fastest on this work."""

from functools import partial
from itertools import product

from src.benchmarks.peers.fastest import fastest
from src.benchmarks.peers.fit import Fit
from src.benchmarks.peers.work import Work

STEPS = (32, 256)  # more steps in a call than an epoch has do no harm


def _variant(work: Work, jit: bool, steps: int) -> Fit:
    label = f"Keras fit, best flags (jit_compile={jit}, steps_per_execution={steps})"
    return Fit(work, label, jit_compile=jit, steps_per_execution=steps)


def load(work: Work) -> Fit:
    """The fastest of all combinations."""
    variants = [partial(_variant, work, jit, steps) for jit, steps in product((True, False), STEPS)]
    return fastest(variants, 1)

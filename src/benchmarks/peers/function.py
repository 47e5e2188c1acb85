"""The same hand-written loop with its step compiled by `tf.function`, with XLA where that helps."""

from functools import partial

import tensorflow as tf

from src.benchmarks.peers.eager import Eager
from src.benchmarks.peers.fastest import fastest
from src.benchmarks.peers.work import Work


class Function(Eager):
    """A Python loop over a compiled step."""

    def __init__(self, work: Work, *, jit: bool) -> None:
        super().__init__(work)
        self.label = f"tf.function step (jit_compile={jit})"
        self.optimizer.build(self.model.trainable_variables)
        self.step = tf.function(self.step, jit_compile=jit)  # type: ignore[method-assign]


def load(work: Work) -> Function:
    """The faster of the two ways to compile."""
    return fastest([partial(Function, work, jit=jit) for jit in (False, True)], 1)

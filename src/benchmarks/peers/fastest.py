"""Choosing among variants as a skilled user would: try them, keep the fastest."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from src.benchmarks.peers.work import Peer

P = TypeVar("P", bound=Peer)


def fastest(variants: Sequence[Callable[[], P]], trial_epochs: int) -> P:
    """The variant that trains fastest, made anew. The first epoch of each compiles, untimed."""

    def seconds(make: Callable[[], P]) -> float:
        peer = make()
        peer.train(1, shuffled=True)
        tries = []
        for _ in range(2):
            began = time.perf_counter()
            peer.train(trial_epochs, shuffled=True)
            tries.append(time.perf_counter() - began)
        return min(tries)

    return min(variants, key=seconds)()

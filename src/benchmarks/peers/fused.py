"""This harness with the members of a sweep in one program."""

from src import startup
from src.benchmarks.peers.harness import Harness
from src.benchmarks.peers.work import Work

MEMBERS = 64


def load(work: Work) -> Harness:
    """Members that differ in their seed: initial weights and order of the rows."""
    startup.import_tensorflow()
    return Harness(work, range(MEMBERS))

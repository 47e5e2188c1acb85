"""What a row is, and what it has at hand while it measures."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from src.benchmarks.peer_process import Peers
from src.benchmarks.result import Line
from src.benchmarks.settings import Settings


class Skipped(Exception):
    """A row, or a peer, can't be measured here; the text says why."""


@dataclass
class Bench:
    """The surroundings of all measurements.

    Attributes:
        settings: what was asked for.
        work: a folder for what is needed meanwhile; it is gone afterwards.
        peers: the processes that train the same model in different ways.
        say: shows the progress.
    """

    settings: Settings
    work: Path
    peers: Peers
    say: Callable[[str], None]
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class Row:
    """A subject of the benchmark: name on the command line, title, how it is measured."""

    name: str
    title: str
    measure: Callable[[Bench], list[Line]]

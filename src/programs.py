"""Compiled programs, and their use again by later jobs of a sweep.

Jobs that differ only in seed, learning rate and schedule have one program. Tracing and compiling it
once makes a further job cost its updates alone, and keeps the memory of hundreds of jobs flat.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src import attributes
from src.build import augmentation, build
from src.config import Config
from src.data.dataset import Dataset
from src.engine import state
from src.engine.program import Program
from src.engine.state import State
from src.engine.streamed import StreamedProgram, is_streamed
from src.errors import CannotFuse
from src.identity import TENSORS, fingerprint
from src.workers.chief import Workers

KEPT = (
    8  # a sweep over two keys meets each program again after as many others as one key has values
)

Start = tuple[int, str | None, str | None]


@dataclass
class _Entry:
    program: Program
    initial: dict[Start, State] = field(default_factory=dict)
    quick: bool | None = None  # whether other seeds may be built as tried; None: not yet known


_kept: OrderedDict[tuple[object, ...], _Entry] = OrderedDict()


def compiled(
    configs: Sequence[Config],
    dataset: Dataset,
    *,
    keep: bool = False,
    force: bool = False,
    workers: Workers | None = None,
) -> Program:
    """The program of one run, or the one that several share, each in its initial state.

    Args:
        configs: one for each member, alike in all that decides the program.
        dataset: what they train on.
        keep: keep the program for later jobs, and take one that is kept.
        force: fuse members even where one by one would be faster.
        workers: the other processes that train it, where this one leads some.

    Raises:
        UserError: a part of the configuration can't be built.
        CannotFuse: the members can't share a program.
    """
    config = configs[0]
    keys = attributes.tensor_keys(config, attributes.differing_keys(configs))
    digest = fingerprint(config, without=(*TENSORS, *keys))
    key = (digest, keys, dataset.digest, is_streamed(dataset.train), len(configs))
    values = attributes.tensor_values(configs, keys)
    entry = _kept.get(key) if keep else None
    if entry is None:
        entry = _compile(configs, dataset, values, force=force, workers=workers)
        if keep:
            _kept[key] = entry
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
    else:
        _kept.move_to_end(key)
    for each in configs:
        if _start(each) not in entry.initial:
            entry.initial[_start(each)] = _drawn(each, dataset, entry)
    entry.program.load([entry.initial[_start(each)] for each in configs], values)
    return entry.program


def _start(config: Config) -> Start:
    """What decides the initial state of the members of a program."""
    return config.seed, config.init_digest, config.init_skip


def _drawn(config: Config, dataset: Dataset, entry: _Entry) -> State:
    """The initial state of a further start: the one that its solo run has."""
    if entry.quick:
        return _built(config, dataset, tried=True)
    whole = _built(config, dataset)
    if entry.quick is None:
        # A model may draw from TensorFlow or NumPy, or leave variables to its first call. Another
        # seed's parts, built between, move on whatever they draw from.
        build(config, dataset, config.seed + 1)
        entry.quick = _equal(_built(config, dataset, tried=True), whole)
    return whole


def _built(config: Config, dataset: Dataset, *, tried: bool = False) -> State:
    return state.snapshot(build(config, dataset, config.seed, tried=tried))


def _equal(left: State, right: State) -> bool:
    return left.keys() == right.keys() and state.sha256(left) == state.sha256(right)


def _compile(
    configs: Sequence[Config],
    dataset: Dataset,
    values: Mapping[str, np.ndarray],
    *,
    force: bool,
    workers: Workers | None,
) -> _Entry:
    config = configs[0]
    streamed = is_streamed(dataset.train)
    if streamed and len(configs) > 1:
        raise CannotFuse("rows that are streamed are read for one run at a time")
    batches = (dataset.train, config.data.batch_size, config.data.evaluation_batch_size)
    step = build(config, dataset, config.seed)
    initial = {_start(config): state.snapshot(step)}
    changes = augmentation(config, dataset)
    if config.strategy.kind != "none":
        from src.engine import strategies  # one device has no use for it

        made = strategies.program(
            step, batches, config.strategy, dataset, workers, augmentation=changes
        )
        return _Entry(made, initial)
    if len(configs) == 1:
        options: dict[str, Any] = {"jit": config.jit, "eager": config.eager}
        kind = StreamedProgram if streamed else Program
        return _Entry(kind(step, *batches, augmentation=changes, **options), initial)
    from src.engine import fused  # a solo run has no use for it

    program = fused.FusedProgram(
        step,
        [initial[_start(config)]] * len(configs),
        *batches,
        augmentation=changes,
        jit=config.jit,
        force=force,
        attributes=values,
        evaluated=[dataset.val],
    )
    return _Entry(program, initial)

"""Which jobs of a sweep may train in one program, and training them so.

Jobs share a program when they differ only in what the program holds as tensors: the seed, the
learning rate and with it the schedule, and attributes such as weight decay (`src.attributes`).
Everything else decides the program itself.
"""

import math
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src import attributes, job, report, startup, storage
from src.config import flatten
from src.console import warn
from src.errors import CannotFuse, UserError
from src.identity import TENSORS, fingerprint
from src.interruption import Interrupted
from src.job import Job

# Keys that decide nothing of what is computed, and that one loop can follow in one way only.
SHARED = ("log_every", "tracking.artifacts", "checkpoint.every_seconds")


@dataclass(frozen=True)
class Group:
    """Jobs that share a program.

    Attributes:
        jobs: at least one.
        reason: why it trains on its own, for a group of one.
    """

    jobs: list[Job]
    reason: str = ""


def group(jobs: Sequence[Job], max_members: int) -> list[Group]:
    """Divide jobs into groups of at most `max_members` that share a program, in order."""
    differing = attributes.differing_keys([each.config for each in jobs])
    differing += [key for key in SHARED if len({_flat(each)[key] for each in jobs}) > 1]
    if any(key.partition(".")[0] in attributes.PARTS for key in differing):
        startup.import_tensorflow()  # the parts themselves tell what may be a tensor
    shared: dict[tuple[object, ...], list[Job]] = {}
    groups: list[Group] = []
    taken: set[Path] = set()
    for each in jobs:
        if each.config.strategy.kind != "none":
            groups.append(Group([each], "its strategy divides a run, where fusing joins some"))
        elif each.config.eager:
            groups.append(Group([each], "eager=true runs without a program"))
        elif each.resumed in taken:
            groups.append(Group([each], f"another job goes on with {each.resumed}"))
        else:
            free = (*TENSORS, *attributes.tensor_keys(each.config, differing))
            loop = (*(_flat(each)[key] for key in SHARED), _update_of(each))
            shared.setdefault((fingerprint(each.config, without=free), *loop), []).append(each)
            if each.resumed is not None:
                taken.add(each.resumed)
    for members in shared.values():
        size = math.ceil(len(members) / math.ceil(len(members) / max_members))
        for start in range(0, len(members), size):
            part = members[start : start + size]
            reason = ""
            if len(part) == 1 < len(members):
                reason = f"groups of {max_members} leave it over"
            elif len(part) == 1:
                reason = _loneliness(part[0], differing)
            groups.append(Group(part, reason))
    return sorted(groups, key=lambda each: each.jobs[0].number)


def _flat(each: Job) -> dict[str, Any]:
    return dict(flatten(each.config.model_dump(by_alias=True)))


def _update_of(each: Job) -> int:
    """The update that a job goes on from; members of a group stand at the same one."""
    if each.resumed is None:
        return 0
    startup.import_tensorflow()
    from src import training  # needs TensorFlow

    newest = training.checkpoints_of(each.resumed, each.config).newest(warn)
    return newest.update if newest else 0


def _loneliness(alone: Job, differing: Sequence[str]) -> str:
    """Why a job shares its program with no other."""
    if alone.resumed is not None:
        return "it goes on from its own checkpoint"
    kept = set(differing) - set(attributes.tensor_keys(alone.config, differing))
    return f"no other job has its {', '.join(sorted(kept))}" if kept else "there is no other job"


def sound(members: Group) -> tuple[list[Job], np.ndarray]:
    """Those of a group whose own values are right, and the factors of their learning rates.

    The others are to be run alone: then they say what is wrong and are recorded as failed.

    Returns:
        Two jobs or more, and factors `(updates, jobs)`.

    Raises:
        CannotFuse: they are less than two.
    """
    differing = attributes.differing_keys([each.config for each in members.jobs])
    if differing:
        startup.import_tensorflow()  # parts are made from their values
    jobs, factors, wrong = [], [], ""
    for each in members.jobs:
        try:
            factor = job.load_data(each.config)[1]
            if differing:
                attributes.check(each.config)
        except Exception as error:  # run alone, it is told and recorded
            wrong = str(error)
            continue
        jobs.append(each)
        factors.append(factor)
    if len(jobs) < 2:
        raise CannotFuse(wrong)
    return jobs, np.stack(factors, axis=1)


def train(jobs: Sequence[Job], factors: np.ndarray, *, force: bool) -> dict[int, float]:
    """Train jobs in one program; the objective of each by its number (NaN: failed).

    Args:
        jobs: two or more that may share a program.
        factors: of their learning rates, `(updates, jobs)`.
        force: also where one by one would be faster.

    Raises:
        CannotFuse: with the reason; nothing was done.
    """
    began = time.perf_counter()
    try:
        dataset, _ = job.load_data(jobs[0].config)
        startup.import_tensorflow()
        from src import training  # needs TensorFlow

        runs = training.train(jobs, dataset, factors, None, force=force)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
    except CannotFuse:
        raise
    except Exception as error:  # whatever it is, the other jobs go on
        return _failed(jobs, error)
    seconds = (time.perf_counter() - began) / len(jobs)
    for each, run in zip(jobs, runs, strict=True):
        report.show_child(each.name, run, seconds)
    return {each.number: run.score for each, run in zip(jobs, runs, strict=True)}


def _failed(jobs: Sequence[Job], error: Exception) -> dict[int, float]:
    """Record every job as failed for one reason."""
    full = storage.described(error, jobs[0].outputs)
    if not isinstance(error, UserError) and not full:
        traceback.print_exc()
    for each in jobs:
        assert each.sweep is not None
        folder = each.sweep / str(each.number)
        with suppress(OSError):  # of a full disk, which is told below
            job.record_failure(folder, each.sweep, each.name, each.overrides, error)
    print(f"{len(jobs)} jobs: failed: {full or error}", file=sys.stderr, flush=True)
    return {each.number: math.nan for each in jobs}

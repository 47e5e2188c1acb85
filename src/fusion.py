"""Which jobs of a sweep may train in one program, and training them so.

Jobs share a program when they differ only in what the program holds as tensors: the seed, the
learning rate, and with it the schedule. Everything else decides the program itself.
"""

import math
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src import job, report, startup
from src.config import flatten
from src.errors import CannotFuse, UserError
from src.identity import FREE, TENSORS, program_key
from src.interruption import Interrupted
from src.job import Job
from src.schedules.rates import learning_rate_factors


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
    shared: dict[str, list[Job]] = {}
    groups: list[Group] = []
    for each in jobs:
        if each.resumed is not None:
            groups.append(Group([each], "it goes on from its own checkpoint"))
        elif each.config.eager:
            groups.append(Group([each], "eager=true runs without a program"))
        else:
            shared.setdefault(program_key(each.config), []).append(each)
    for members in shared.values():
        size = math.ceil(len(members) / math.ceil(len(members) / max_members))
        for start in range(0, len(members), size):
            part = members[start : start + size]
            groups.append(Group(part, "" if len(part) > 1 else _difference(part[0], jobs)))
    return sorted(groups, key=lambda each: each.jobs[0].number)


def _difference(alone: Job, jobs: Sequence[Job]) -> str:
    """In which keys a job without company differs from its neighbours."""
    own = dict(flatten(alone.config.model_dump(by_alias=True)))
    keys: set[str] = set()
    for other in jobs:
        values = dict(flatten(other.config.model_dump(by_alias=True)))
        keys |= {key for key in own.keys() | values.keys() if own.get(key) != values.get(key)}
    kept = sorted(k for k in keys if not k.startswith((*FREE, *TENSORS)))
    if not kept:
        return "there is no other job like it"
    return f"no other job has its {', '.join(kept)}"


def train(members: Group, *, force: bool) -> dict[int, float]:
    """Train a group in one program; the objective of each job by its number (NaN: failed).

    Args:
        members: two jobs or more.
        force: also where one by one would be faster.

    Raises:
        CannotFuse: with the reason; nothing was done.
    """
    jobs = members.jobs
    began = time.perf_counter()
    try:
        dataset, _ = job.load_data(jobs[0].config)
        updates = jobs[0].config.epochs * job.updates_per_epoch(jobs[0].config, dataset)
        schedules = [learning_rate_factors(each.config.schedule, updates) for each in jobs]
        startup.import_tensorflow()
        from src import training  # needs TensorFlow

        runs = training.train(jobs, dataset, np.stack(schedules, axis=1), None, force=force)
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
    if not isinstance(error, UserError):
        traceback.print_exc()
    for each in jobs:
        assert each.sweep is not None
        folder = each.sweep / str(each.number)
        job.record_failure(folder, each.sweep, each.name, each.overrides, error)
    print(f"{len(jobs)} jobs: failed: {error}", file=sys.stderr, flush=True)
    return {each.number: math.nan for each in jobs}

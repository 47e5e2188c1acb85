"""`hydra/launcher=fused`: the jobs of a multirun that may share one program train together.

Hydra imports this module at every start, so what is heavy is imported where it is used.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from src.job import Job


@dataclass
class FusedLauncherConfig:
    """The keys below `hydra.launcher`."""

    _target_: str = "hydra_plugins.fused_launcher.FusedLauncher"
    max_members: int = 64  # of one program; a larger group is split evenly
    force: bool = False  # fuse also where the device trains faster one by one


ConfigStore.instance().store(
    group="hydra/launcher", name="fused", node=FusedLauncherConfig, provider="fused_launcher"
)


class FusedLauncher(Launcher):
    """Trains groups of jobs in one program each, then the others one by one.

    Hydra's callbacks `on_job_start` and `on_job_end` are called for the others alone.
    """

    def __init__(self, max_members: int, force: bool) -> None:
        self.max_members = max_members
        self.force = force

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remember what Hydra hands over."""
        from src.composition import SweepConfigLoader
        from src.errors import EXIT_USER_ERROR

        if self.max_members < 1:
            print(
                f"error: hydra.launcher.max_members={self.max_members}: give 1 or more",
                file=sys.stderr,
            )
            sys.exit(EXIT_USER_ERROR)  # of an exception Hydra would show the traceback
        # The sweeper, who holds the same context, composes every job once more with it.
        self.loader = SweepConfigLoader(hydra_context.config_loader)
        hydra_context.config_loader = self.loader
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; what each returned, in their order."""
        setup_globals()
        numbered = dict(enumerate(job_overrides, start=initial_job_idx))
        trained = self._train_groups(numbered)
        return [
            _returned(overrides, trained[number])
            if number in trained
            else self._run(number, overrides)
            for number, overrides in numbered.items()
        ]

    def _train_groups(self, numbered: dict[int, Sequence[str]]) -> dict[int, float]:
        """Train what can train together; the objective of each job that did."""
        from src import fusion
        from src.errors import CannotFuse

        said: dict[int, str] = {}
        prepared = [
            job
            for number, overrides in numbered.items()
            if (job := self._prepare(number, overrides, said)) is not None
        ]
        trained: dict[int, float] = {}
        alone: dict[str, list[Job]] = {}
        waiting = fusion.group(prepared, self.max_members)
        while waiting:
            group = waiting.pop(0)
            if len(group.jobs) == 1:
                alone.setdefault(group.reason, []).extend(group.jobs)
                continue
            try:
                jobs, factors = fusion.sound(group)
                _say(jobs, f"are alike: one program for {len(jobs)} members")
                sys.stdout.write("".join(said[each.number] for each in jobs))
                trained |= fusion.train(jobs, factors, force=self.force)
            except CannotFuse as refusal:
                if refusal.members > 1:
                    print(f"they are divided: {refusal}", flush=True)
                    waiting = fusion.group(group.jobs, refusal.members) + waiting
                else:
                    alone.setdefault(str(refusal), []).extend(group.jobs)
        for reason, jobs in alone.items():
            how = "train one by one" if len(jobs) > 1 else "trains on its own"
            _say(jobs, f"{how}: {reason}")
        return trained

    def _prepare(self, number: int, overrides: Sequence[str], said: dict[int, str]) -> "Job | None":
        """The checked job; None for one to be run alone: it is done, or says what is wrong."""
        from src import job

        composed = self._compose(number, overrides)
        # For `${hydra:...}`; Hydra's own `set_config` would copy all of it.
        HydraConfig.instance().cfg = composed  # type: ignore[assignment]
        task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                prepared = job.prepare(
                    task,
                    list(filter_overrides(overrides)),
                    Path(self.config.hydra.sweep.dir),
                    number,
                )
        except Exception:  # run alone, it is told and recorded
            return None
        if prepared.done is not None:
            return None
        said[number] = output.getvalue()
        return prepared

    def _compose(self, number: int, overrides: Sequence[str]) -> DictConfig:
        composed = self.loader.take(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = str(number)
            composed.hydra.job.num = number
        return composed

    def _run(self, number: int, overrides: Sequence[str]) -> JobReturn:
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self._compose(number, overrides),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _returned(overrides: Sequence[str], objective: float) -> JobReturn:
    """What Hydra's sweepers are told of a job that was trained in its group."""
    returned = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
    returned.return_value = objective
    return returned


def _say(jobs: "Sequence[Job]", text: str) -> None:
    names = ", ".join(str(each.number) for each in jobs[:8])
    names += ", ..." if len(jobs) > 8 else ""
    print(f"job{'s' if len(jobs) > 1 else ''} {names} {text}", flush=True)

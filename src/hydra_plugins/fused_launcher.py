"""`hydra/launcher=fused`: the jobs of a multirun that may share one program train together.

Hydra imports this module at every start, so what is heavy is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


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
    """Trains groups of jobs in one program each, and the others one by one."""

    def __init__(self, max_members: int, force: bool) -> None:
        self.max_members = max_members
        self.force = force

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remember what Hydra hands over."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; what each returned, in their order."""
        from src import fusion, job
        from src.errors import CannotFuse, UserError

        if self.max_members < 1:
            raise UserError(f"hydra.launcher.max_members={self.max_members}: give 1 or more")
        setup_globals()
        folder = Path(self.config.hydra.sweep.dir)
        configs = {
            number: self._compose(number, overrides)
            for number, overrides in enumerate(job_overrides, start=initial_job_idx)
        }
        prepared: list[job.Job] = []
        for number, composed in configs.items():
            task = composed.copy()
            with open_dict(task):
                del task["hydra"]
            overrides = filter_overrides(job_overrides[number - initial_job_idx])
            try:
                prepared.append(job.prepare(task, list(overrides), folder, number))
            except UserError:
                continue  # run alone, it says what is wrong and is recorded as failed
        trained: dict[int, float] = {}
        waiting = fusion.group(prepared, self.max_members)
        while waiting:
            group = waiting.pop(0)
            names = ", ".join(str(each.number) for each in group.jobs[:8])
            names += ", ..." if len(group.jobs) > 8 else ""
            if len(group.jobs) == 1:
                print(f"job {names} trains on its own: {group.reason}", flush=True)
                continue
            print(f"jobs {names} train together, {len(group.jobs)} in one program", flush=True)
            try:
                trained |= fusion.train(group, force=self.force)
            except CannotFuse as refusal:
                if refusal.members > 1:
                    print(f"they are divided: {refusal}", flush=True)
                    waiting = fusion.group(group.jobs, refusal.members) + waiting
                else:
                    print(f"they train one by one: {refusal}", flush=True)
        return [self._run(number, configs[number], trained) for number in configs]

    def _compose(self, number: int, overrides: Sequence[str]) -> DictConfig:
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = str(number)
            composed.hydra.job.num = number
        return composed

    def _run(self, number: int, composed: DictConfig, trained: dict[int, float]) -> JobReturn:
        """Run a job, or let Hydra book one that has been trained in its group."""

        def known(config: Any) -> float:
            return trained[number]

        return run_job(
            hydra_context=self.hydra_context,
            task_function=known if number in trained else self.task_function,
            config=composed,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

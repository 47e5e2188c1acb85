"""Train prepared jobs: build, claim the folders, fit, close.

The first room that needs TensorFlow.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src import closing, console, initialisation, programs, storage
from src.build import model_summary, parameter_count
from src.config import Config
from src.console import warn
from src.data.dataset import Dataset
from src.engine import surroundings
from src.engine.checkpoint import FOLDER as CHECKPOINTS
from src.engine.checkpoint import Checkpoint, Checkpoints
from src.engine.profiling import profiled
from src.engine.program import Program
from src.errors import UserError
from src.fit import fit
from src.interruption import Interrupted, Interruption
from src.job import CONFIG_ARTIFACT, Job, claim
from src.patience import Patience, Plateau
from src.resume import CONFIG_FILE
from src.run import Run
from src.tracking.children import point_to
from src.tracking.shipping import ShipperProcess
from src.tracking.tracker import SUMMARY
from src.workers.chief import Workers

MODEL_SUMMARY = "model_summary.txt"


def train(
    jobs: Sequence[Job],
    dataset: Dataset,
    factors: np.ndarray,
    shipper: ShipperProcess | None,
    *,
    force: bool = False,
    workers: Workers | None = None,
) -> list[Run]:
    """Train a job, or the members of a fused sweep side by side; returns their ended runs.

    Args:
        jobs: alike in all that shapes the program (see `src.fusion`).
        dataset: the same for all of them.
        factors: of the learning rate, `(updates, members)`.
        shipper: told of the runs' folders, where this process has one.
        force: fuse members even where one by one would be faster.
        workers: the other processes that train this job, where it has some.

    Raises:
        UserError: a part of the configuration can't be built, before a folder is claimed.
        CannotFuse: the members can't share a program, before a folder is claimed.
        Interrupted: after the checkpoints were written and the records closed as KILLED.
        OSError: the disk is full before the first update; later that ends the runs as FAILED.
        WorkerLost: after the records were closed as FAILED.
    """
    config = jobs[0].config
    checkpoints = [newest(job) for job in jobs]
    for checkpoint in checkpoints:
        if checkpoint is not None and checkpoint.update > len(factors):
            raise UserError(
                f"epochs={config.epochs}: that is {len(factors)} updates, and the run has made "
                f"{checkpoint.update}; a run that goes on may be given more epochs, not less"
            )
    starts = [
        job.config if checkpoint is None else job.config.model_copy(update=initialisation.FORGOTTEN)
        for job, checkpoint in zip(jobs, checkpoints, strict=True)
    ]
    program = programs.compiled(
        starts, dataset, keep=jobs[0].sweep is not None, force=force, workers=workers
    )
    around = surroundings.present(program.compilation.jit, program.members)
    for member, checkpoint in enumerate(checkpoints):
        restore(program, member, checkpoint)
    moved = _moved(checkpoints, around)
    tags = {
        "jit": str(program.compilation.jit).lower(),
        "jit_reason": program.compilation.reason,
        "parameters": str(parameter_count(program.step.model.trainable_variables)),
        "threads": f"{around['intra_op_threads']} intra-op, {around['inter_op_threads']} inter-op",
        "instructions": around["instructions"],
    }
    if program.members > 1:
        tags["fused_members"] = str(program.members)
    summary = model_summary(program.step.model)
    runs: list[Run] = []
    with Interruption() as interruption:
        if workers is not None:
            workers.on_signal = interruption.request
        try:
            for job, checkpoint in zip(jobs, checkpoints, strict=True):
                runs.append(start(job, dataset, tags, summary, checkpoint))
                runs[-1].checkpoints.surroundings = around
                if moved:
                    runs[-1].tracker.tags({"resumed_elsewhere": moved})
                if shipper is not None:
                    shipper.ship(runs[-1].folder)
            profiling = profiled(program, runs[0].folder, config.profile_calls)
            with _console(jobs, program) as shown, profiling:
                fit(
                    program,
                    runs,
                    dataset.val,
                    factors,
                    epochs=config.epochs,
                    checkpoint_seconds=config.checkpoint.every_seconds,
                    interruption=interruption,
                    console=shown,
                )
            closing.close(runs, program, dataset, pictures=jobs[0].artifacts == "full")
        except BaseException as error:
            full = storage.described(error, jobs[0].outputs)
            for run in runs:
                run.abort(full or f"{type(error).__name__}: {error}")
            if not full or len(runs) < len(jobs):
                raise
    if interruption.signal and any(run.status == "KILLED" for run in runs):
        raise Interrupted(interruption.signal, runs)
    return runs


def start(
    job: Job, dataset: Dataset, tags: dict[str, str], summary: str, checkpoint: Checkpoint | None
) -> Run:
    """Claim the run's folder, or take up the resumed one, and open its record."""
    config = job.config
    tracker = claim(job, dataset, tags)
    run = Run(
        tracker=tracker,
        checkpoints=checkpoints_of(tracker.folder, config),
        seed=config.seed,
        learning_rate=config.optimizer.learning_rate,
        monitor=config.monitor,
        objective=config.objective,
        stopping=Patience(config.early_stopping.patience, config.early_stopping.min_delta),
        target=config.early_stopping.target,
        plateau=Plateau(
            Patience(config.plateau.patience, config.plateau.min_delta),
            config.plateau.factor,
            config.plateau.minimum,
        ),
    )
    if checkpoint is not None:
        run.resume(checkpoint)
    try:
        _begin(run, job, summary)
    except OSError:
        tracker.close()
        raise
    return run


def _begin(run: Run, job: Job, summary: str) -> None:
    tracker = run.tracker
    tracker.artifact_path(SUMMARY).unlink(missing_ok=True)  # of the attempt before this one
    tracker.begin(run.update)
    if job.resumed is not None and job.sweep is not None:
        point_to(job.resumed, job.sweep / str(job.number))
    if job.artifacts != "none" and not tracker.journal.holds("artifact", path=CONFIG_ARTIFACT):
        shutil.copyfile(tracker.folder / CONFIG_FILE, tracker.artifact_path(CONFIG_ARTIFACT))
        tracker.artifact(CONFIG_ARTIFACT)
    if job.artifacts != "none" and not tracker.journal.holds("artifact", path=MODEL_SUMMARY):
        tracker.artifact_path(MODEL_SUMMARY).write_text(summary, encoding="utf-8")
        tracker.artifact(MODEL_SUMMARY)


def checkpoints_of(folder: Path, config: Config) -> Checkpoints:
    """The checkpoints in a run's folder."""
    return Checkpoints(folder / CHECKPOINTS, config.checkpoint.keep)


def newest(job: Job) -> Checkpoint | None:
    """The newest valid checkpoint of the run that goes on, if there is one."""
    if job.resumed is None:
        return None
    return checkpoints_of(job.resumed, job.config).newest(warn)


def restore(program: Program, member: int, checkpoint: Checkpoint | None) -> None:
    """Give a member the state in a checkpoint.

    Raises:
        UserError: the checkpoint is of another model or optimizer.
    """
    if checkpoint is None:
        return
    try:
        missing = program.snapshot().keys() - checkpoint.last.keys()
        if missing:
            raise ValueError(f"it lacks {min(missing)}")
        program.restore(checkpoint.last, member)
    except ValueError as error:
        raise UserError(f"resume: {checkpoint.folder} is of another model: {error}") from error


def _moved(checkpoints: Sequence[Checkpoint | None], around: dict[str, str]) -> str:
    """What differs from where the checkpoints were made; told in one line, as bits may differ."""
    found = {surroundings.difference(each.surroundings, around) for each in checkpoints if each}
    text = "; ".join(sorted(found - {""}))
    if text:
        warn(f"resume: the bits may differ from those of a run never stopped: {text}")
    return text


def _console(jobs: Sequence[Job], program: Program) -> console.Console:
    first, kind = jobs[0], console.console_class()
    if first.sweep is not None and kind is console.Console:
        kind = (
            console.JobConsole
        )  # a sweep without a terminal has one line for each job, at its end
    label = first.name if first.sweep else ""
    return kind(
        first.config.epochs,
        program.updates_per_epoch,
        program.batch_size,
        program.rows,
        first.config.log_every,
        label=label if len(jobs) == 1 else f"{len(jobs)} jobs",
    )

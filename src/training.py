"""Train a prepared job: build, claim the folder, fit, close. The first room that needs TensorFlow."""

import shutil

import numpy as np

from src import closing, console
from src.build import build, model_summary, parameter_count
from src.console import warn
from src.data.dataset import Dataset
from src.engine.checkpoint import Checkpoint, Checkpoints
from src.engine.program import Program
from src.errors import UserError
from src.fit import fit
from src.interruption import Interrupted, Interruption
from src.job import CONFIG_ARTIFACT, Job, claim
from src.resume import CONFIG_FILE
from src.run import Run
from src.tracking.shipping import ShipperProcess

CHECKPOINTS = "checkpoints"
MODEL_SUMMARY = "model_summary.txt"


def train(job: Job, dataset: Dataset, factors: np.ndarray, shipper: ShipperProcess | None) -> Run:
    """Train the job in this process, with `factors` `(updates,)` of its learning rate.

    Raises:
        UserError: a part of the configuration can't be built, before the run's folder exists.
        Interrupted: after the checkpoint was written and the record closed as KILLED.
    """
    config = job.config
    step = build(config, dataset, config.seed)
    program = Program(
        step,
        dataset.train,
        config.data.batch_size,
        config.data.evaluation_batch_size,
        jit=config.jit,
        eager=config.eager,
    )
    checkpoint = restore(job, program)
    tags = {
        "jit": str(program.compilation.jit).lower(),
        "jit_reason": program.compilation.reason,
        "parameters": str(parameter_count(step.model.trainable_variables)),
    }
    with Interruption() as interruption:
        run = start(job, dataset, tags, model_summary(step.model), checkpoint)
        if shipper is not None:
            shipper.ship(run.folder)
        try:
            with _console(job, program) as shown:
                fit(
                    program,
                    [run],
                    dataset.val,
                    factors,
                    epochs=config.epochs,
                    checkpoint_seconds=config.checkpoint.every_seconds,
                    interruption=interruption,
                    console=shown,
                )
            closing.close(run, program, dataset, pictures=job.artifacts == "full")
        except BaseException as error:
            run.tracker.end("FAILED", f"{type(error).__name__}: {error}", run.update, run.epoch)
            raise
    if run.status == "KILLED" and interruption.signal:
        raise Interrupted(interruption.signal)
    return run


def start(
    job: Job, dataset: Dataset, tags: dict[str, str], summary: str, checkpoint: Checkpoint | None
) -> Run:
    """Claim the run's folder, or take up the resumed one, and open its record."""
    config = job.config
    tracker = claim(job, dataset, tags)
    run = Run(
        tracker=tracker,
        checkpoints=Checkpoints(tracker.folder / CHECKPOINTS, config.checkpoint.keep),
        seed=config.seed,
        learning_rate=config.optimizer.learning_rate,
        monitor=config.monitor,
        objective=config.objective,
    )
    if checkpoint is not None:
        run.resume(checkpoint)
    tracker.begin(run.update)
    if job.artifacts != "none" and tracker.journal.attempts == 1:
        shutil.copyfile(tracker.folder / CONFIG_FILE, tracker.artifact_path(CONFIG_ARTIFACT))
        tracker.artifact(CONFIG_ARTIFACT)
        tracker.artifact_path(MODEL_SUMMARY).write_text(summary, encoding="utf-8")
        tracker.artifact(MODEL_SUMMARY)
    return run


def restore(job: Job, program: Program) -> Checkpoint | None:
    """Give the program the newest valid checkpoint of the run that goes on, if there is one.

    Raises:
        UserError: the checkpoint is of another model or optimizer.
    """
    if job.resumed is None:
        return None
    checkpoint = Checkpoints(job.resumed / CHECKPOINTS, job.config.checkpoint.keep).newest(warn)
    if checkpoint is None:
        return None
    try:
        program.restore(checkpoint.last)
    except ValueError as error:
        raise UserError(f"resume: {checkpoint.folder} is of another model: {error}") from error
    return checkpoint


def _console(job: Job, program: Program) -> console.Console:
    kind = console.console_class()
    if job.sweep is not None and kind is console.Console:
        kind = (
            console.JobConsole
        )  # a sweep without a terminal: report.show_child says one line a job
    return kind(
        job.config.epochs,
        program.updates_per_epoch,
        program.batch_size,
        program.rows,
        job.config.log_every,
        label=job.name if job.sweep else "",
    )

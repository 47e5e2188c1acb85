"""Run the job that Hydra composed, on its own or as a child of a sweep, to its exit code."""

import contextlib
import math
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src import following, naming, report, resume, startup, storage
from src.composition import overrides_of
from src.errors import EXIT_FAILED, EXIT_USER_ERROR, UserError, WorkerLost
from src.interruption import Interrupted
from src.job import Job, load_data, prepare, record_failure
from src.tracking.children import point_to
from src.tracking.shipping import ShipperProcess
from src.workers.chief import Workers

if TYPE_CHECKING:
    from src.run import Run

# Who interrupts a run wants it gone: the shipper goes on alone with what is not delivered by then.
INTERRUPTED_WAIT_SECONDS = 1.0


def run(composed: DictConfig) -> float | None:
    """Run the job that Hydra composed; returns its objective for sweepers.

    A failure in a sweep is recorded and returned as NaN, so that the other jobs go on; on its own
    it ends the process with its exit code.
    """
    hydra_config = HydraConfig.get()
    overrides = overrides_of(hydra_config)
    if hydra_config.mode == RunMode.MULTIRUN:
        folder = Path(hydra_config.runtime.output_dir)
        return _run_child(composed, overrides, folder.parent, int(hydra_config.job.num))
    try:
        place = following.place(composed)
        if place is not None and not place.is_chief:
            following.follow(composed, overrides, place)
        job = prepare(composed, overrides)
        with contextlib.nullcontext() if place is None else Workers(place, job.config) as workers:
            return _run_solo(job, workers)
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        full = storage.described(error, Path(str(composed.outputs)).absolute())
        if full is None:
            raise
        print(f"error: {full}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except WorkerLost as error:
        print(f"error: {error}; all workers go on with resume=auto", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def _run_solo(job: Job, workers: Workers | None) -> float | None:
    shipper = _start_shipper(job)
    wait_seconds, goes_on_for, exit_code = job.config.tracking.wait_seconds, 0.0, 0
    delivery = None
    try:
        finished = _train(job, shipper, workers)
    except Interrupted as interrupted:
        finished, exit_code = interrupted.runs[0], interrupted.exit_code
        wait_seconds, goes_on_for = min(wait_seconds, INTERRUPTED_WAIT_SECONDS), wait_seconds
    finally:
        if shipper is not None:
            delivery = shipper.finish(wait_seconds, goes_on_for=goes_on_for)
    report.show_run(finished, job.outputs, delivery)
    if exit_code or finished.status == "FAILED":
        sys.exit(exit_code or EXIT_FAILED)
    return finished.objective_value


def _start_shipper(job: Job) -> ShipperProcess | None:
    uri = job.config.tracking.store_uri
    return ShipperProcess.start(uri) if uri else None


def _run_child(
    composed: DictConfig, overrides: list[str], sweep_folder: Path, number: int
) -> float:
    began = time.perf_counter()
    folder = sweep_folder / str(number)
    try:
        job = prepare(composed, overrides, sweep_folder, number)
        if job.done is not None:
            point_to(job.done, folder)
            return resume.objective_of(job.done)
        finished = _train(job, None, None)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
    except Exception as error:  # whatever it is, the other jobs go on
        name = naming.child_name(sweep_folder, overrides, number)
        full = storage.described(error, folder)
        if not isinstance(error, UserError) and not full:
            traceback.print_exc()
        with suppress(OSError):  # of a full disk, which is told below
            record_failure(folder, sweep_folder, name, overrides, error)
        print(f"{name}: failed: {full or error}", file=sys.stderr, flush=True)
        return math.nan
    seconds = time.perf_counter() - began
    report.show_child(job.name, finished, seconds)
    return finished.score


def _train(job: Job, shipper: ShipperProcess | None, workers: Workers | None) -> "Run":
    """Load, build, train and close one job."""
    dataset, factors = load_data(job.config)
    if shipper is not None:
        shipper.prepare()
    if workers is not None:
        workers.gather(dataset.digest)
    startup.import_tensorflow(lambda: following.set_up(job.config))
    from src import training  # needs TensorFlow

    return training.train([job], dataset, factors[:, None], shipper, workers=workers)[0]

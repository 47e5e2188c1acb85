"""A job: a checked configuration, its data, and the folder that its run claims."""

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hydra import compose
from omegaconf import DictConfig

from src import initialisation, naming, preflight, provenance, resume, strategy, teacher
from src.config import Config, flatten, validate
from src.console import warn
from src.data import inputs
from src.data.dataset import Dataset
from src.data.inputs import Inputs
from src.data.load import load
from src.engine.memory import free_memory
from src.errors import UserError
from src.identity import fingerprint
from src.schedules.rates import learning_rate_factors
from src.tracking.children import run_of
from src.tracking.record import RunRecord
from src.tracking.tracker import SUMMARY, Tracker

CONFIG_ARTIFACT = "config.yaml"


@dataclass(frozen=True)
class Job:
    """A checked configuration and where its run goes.

    Attributes:
        overrides: those of the command, as Hydra took them.
        outputs: absolute.
        resumed: the folder of the run that goes on, None for a new one.
        done: that of the finished run which the job takes as it is (see `resume.done`).
        sweep: the folder of the sweep this job is a child of, None for a solo run.
        number: its place in the sweep.
    """

    config: Config
    overrides: list[str]
    outputs: Path
    resumed: Path | None = None
    sweep: Path | None = None
    number: int = 0
    done: Path | None = None

    @property
    def name(self) -> str:
        """The run's name: the one asked for, else what varies, else what is trained."""
        if self.sweep is None or self.config.name:
            return naming.run_name(self.config)
        return naming.child_name(self.sweep, self.overrides, self.number)

    @property
    def artifacts(self) -> str:
        """How much of the run is kept for people; see `tracking.artifacts`."""
        if self.config.tracking.artifacts != "auto":
            return self.config.tracking.artifacts
        return "full" if self.sweep is None else "light"


def prepare(
    composed: DictConfig, overrides: list[str], sweep_folder: Path | None = None, number: int = 0
) -> Job:
    """Check the configuration, and exchange it for that of the run to resume where one is named."""
    config = validate(composed)
    if sweep_folder is not None:
        strategy.check_sweep(config)
    outputs = preflight.check_outputs(config.outputs)
    config = teacher.pinned(config, outputs)
    if config.resume in (False, "auto"):
        config = initialisation.resolved(config, outputs)
    resumed = resume.find(config, outputs)
    if resumed is not None and config.resume != "auto":
        command, overrides = overrides, resume.merged_overrides(resumed, overrides)
        config = teacher.pinned(validate(compose("config", overrides=overrides)), outputs)
        config = initialisation.of_resumed(config, resumed, command, outputs)
        resume.check_same(config, resumed)
    done = None
    if config.resume == "auto":
        if resumed is None and sweep_folder is not None:
            done = resume.done(config, outputs)
        print(f"resume=auto: {_what_happens(resumed, done)}", flush=True)
    return Job(config, overrides, outputs, resumed, sweep_folder, number, done)


def _what_happens(resumed: Path | None, done: Path | None) -> str:
    if resumed is not None:
        return f"{resumed} goes on"
    if done is not None:
        return f"{done} is finished"
    return "no unfinished run of this configuration; a new one starts"


def load_data(config: Config) -> tuple[Dataset, np.ndarray]:
    """The data set, held against loss and metrics, and the schedule's factors `(updates,)`."""
    one_device = config.strategy.kind == "none"
    cannot_stream = UserError(
        "data.streaming=true: devices that share batches hold all rows; give "
        "data.streaming=false or strategy=none"
    )
    if not one_device and config.data.arguments.get("streaming") is True:
        raise cannot_stream
    dataset = _load(config.data.model_dump_json(by_alias=True), may_stream=one_device)
    if not one_device and not isinstance(dataset.train.x, np.ndarray):  # of a source that insists
        raise cannot_stream
    preflight.check_labels(config, dataset)
    batches = updates_per_epoch(config, dataset)
    # The schedule counts updates of the weights; the batches that make one have the same rate.
    updates = math.ceil(batches / config.accumulate)
    factors = learning_rate_factors(config.schedule, config.epochs * updates)
    batch = np.arange(config.epochs * batches)
    return dataset, factors[batch // batches * updates + batch % batches // config.accumulate]


@functools.lru_cache(maxsize=1)  # the jobs of a sweep share it
def _load(data: str, may_stream: bool) -> Dataset:
    values = json.loads(data)
    return load(values, values["seed"], room=free_memory() if may_stream else None)


def updates_per_epoch(config: Config, dataset: Dataset) -> int:
    """The updates of an epoch, that of a smaller last batch among them."""
    return math.ceil(dataset.train_rows / config.data.batch_size)


def claim(job: Job, dataset: Dataset, extra_tags: dict[str, str]) -> Tracker:
    """The tracker of the job's run: of a new folder, or of the run that goes on."""
    if job.resumed is not None:
        return Tracker(job.resumed, RunRecord.load(job.resumed), warn=warn)
    identifier = naming.new_id()
    folder = job.outputs / "runs" / identifier
    if job.sweep is not None:
        identifier = f"{job.sweep.name}-{job.number}"
        folder = job.sweep / str(job.number)
    values = job.config.model_dump(by_alias=True)
    record = RunRecord(
        id=identifier,
        name=job.name,
        parent=".." if job.sweep else None,
        experiment=job.config.tracking.experiment,
        tracking_uri=job.config.tracking.store_uri,
        artifacts=job.artifacts,  # type: ignore[arg-type]
        params={key: value for key, value in flatten(values) if value is not None},
        tags=provenance.tags(job.overrides, "src.train")
        | {resume.FINGERPRINT_TAG: fingerprint(job.config)}
        | extra_tags,
        dataset=describe_data(dataset),
    )
    files = resume.files(values, job.overrides)
    record.claim(folder, files | {inputs.FILE_NAME: Inputs.of(dataset).text()})
    return Tracker(folder, record, warn=warn)


def describe_data(dataset: Dataset) -> dict[str, object]:
    """What the record says of the data set."""
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "source": dataset.source,
        "train_rows": dataset.train_rows,
        "val_rows": dataset.val_rows,
        "test_rows": dataset.test_rows,
        "input_shape": list(dataset.input_shape),
        "input_dtype": dataset.train.x.dtype.name,
        "num_classes": dataset.num_classes,
        "labels": dataset.labels,
        "features": dataset.features.record() if dataset.features else None,
    }


def record_failure(
    folder: Path, sweep_folder: Path, name: str, overrides: list[str], error: Exception
) -> None:
    """A child that failed before it could start is a run all the same: failed, with the reason."""
    if run_of(folder) is not None:
        return  # it had started, and its record is closed
    parent = RunRecord.load(sweep_folder)
    record = RunRecord(
        id=f"{sweep_folder.name}-{folder.name}",
        name=name,
        parent="..",
        experiment=parent.experiment,
        tracking_uri=parent.tracking_uri,
        artifacts="light",
        params=naming.assignments(overrides),
        tags=provenance.tags(overrides, "src.train"),
    )
    record.claim(folder)
    tracker = Tracker(folder, record, warn=warn)
    tracker.begin()
    summary = {"status": "FAILED", "reason": str(error)}
    tracker.artifact_path(SUMMARY).write_text(json.dumps(summary), encoding="utf-8")
    tracker.artifact(SUMMARY)
    tracker.end("FAILED", str(error))

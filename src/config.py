"""The schema of the composed configuration and the rules between its keys.

Types and limits stand here, defaults stand in conf/ alone. Imports neither TensorFlow nor MLflow,
so that a mistake is answered in well under a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src import strategy
from src.errors import UserError
from src.groups import (
    DataConfig,
    Fraction,
    Group,
    LossConfig,
    OptimizerConfig,
    Positive,
    StepConfig,
    check_pattern,
)
from src.strategy import StrategyConfig
from src.targets import validation_message

# The stores that MLflow keeps runs in.
STORES = ("sqlite:///", "http://", "https://", "postgresql", "mysql", "mssql")

STANDARD_STEP = "src.steps.standard.Standard"  # reports the configured metrics and no others


class TrackingConfig(BaseModel):
    """Where the journal is delivered to, and how much of a run is kept there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    uri: str | None
    experiment: Annotated[str, Field(min_length=1)]
    artifacts: Literal["auto", "full", "light", "none"]
    wait_seconds: Annotated[float, Field(ge=0)]

    @property
    def store_uri(self) -> str | None:
        """`uri`, a SQLite file's path made absolute: any process finds the same file."""
        if self.uri is None or not self.uri.startswith("sqlite:///"):
            return self.uri
        path = Path(self.uri.removeprefix("sqlite:///")).expanduser()
        return f"sqlite:///{path.absolute()}"


class EarlyStoppingConfig(BaseModel):
    """When a run ends because `monitor` no longer improves, or is good enough."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    patience: Annotated[int, Field(gt=0)] | None
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    target: Annotated[float, Field(allow_inf_nan=False)] | None


class PlateauConfig(BaseModel):
    """When and how a run learns slower because `monitor` no longer improves."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    patience: Annotated[int, Field(gt=0)] | None
    factor: Annotated[float, Field(gt=0, lt=1)]
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    minimum: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CheckpointConfig(BaseModel):
    """How often a run is saved while it trains, and how many saves are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    every_seconds: Positive
    keep: Annotated[int, Field(ge=1)]


class EmaConfig(BaseModel):
    """The moving average of the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    decay: Fraction | None


class Config(BaseModel):
    """The whole configuration of one run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    data: DataConfig
    augmentation: Group
    model: Group
    optimizer: OptimizerConfig
    schedule: Group
    loss: LossConfig
    step: StepConfig
    strategy: StrategyConfig
    tracking: TrackingConfig
    ema: EmaConfig
    checkpoint: CheckpointConfig
    task: Literal["classification", "regression"]
    early_stopping: EarlyStoppingConfig
    plateau: PlateauConfig
    metrics: list[str]
    outputs: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    epochs: Annotated[int, Field(gt=0)]
    init_from: Annotated[str, Field(min_length=1)] | None
    init_skip: Annotated[str, Field(min_length=1)] | None
    init_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    accumulate: Annotated[int, Field(ge=1)]
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    jit: Literal["auto"] | bool
    profile_calls: Annotated[int, Field(ge=0)]
    eager: bool
    resume: bool | str
    monitor: str
    objective: str
    log_every: Annotated[int, Field(ge=0)]
    name: str | None


def validate(composed: DictConfig) -> Config:
    """Check a composed configuration against the schema and the rules between keys.

    Raises:
        UserError: naming the first key that is wrong, what it may be and how to mend it.
    """
    try:
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        config = Config.model_validate(values)
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        text = str(error).splitlines()[0]
        raise UserError(f"{key}{text[0].lower()}{text[1:]}") from error
    except ValidationError as error:
        raise UserError(validation_message(error)) from error
    _check_between_keys(config)
    return config


def _check_between_keys(config: Config) -> None:
    if config.eager and config.jit is True:
        raise UserError("jit=true: an eager run isn't compiled; leave out jit=true or eager=true")
    for key in ("init_skip", "init_digest"):
        if config.init_from is None and getattr(config, key) is not None:
            raise UserError(f"{key}={getattr(config, key)}: it belongs to init_from=RUN_ID")
    try:
        check_pattern("init_skip", config.init_skip)
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.resume is True:
        raise UserError("resume=true: allowed are false, auto, a run id or a run's folder")
    strategy.check(config)
    known = ["loss", *config.metrics]
    check_monitored(config, known, open_ended=config.step.target != STANDARD_STEP)
    if len(set(known)) < len(known):
        raise UserError(f"metrics={config.metrics}: name each metric once ('loss' is always there)")
    uri = config.tracking.uri
    if uri is not None and not uri.startswith(STORES):
        raise UserError(
            f"tracking.uri={uri}: give sqlite:///FILE, http(s)://SERVER or another database URI; "
            "tracking=none keeps the run's folder alone"
        )


def check_monitored(
    config: Config,
    known: Sequence[str],
    of_training_alone: Sequence[str] = (),
    *,
    open_ended: bool = False,
) -> None:
    """Whether what decides on the best epoch, and what sweeps compare, will be reported.

    Args:
        config: with its keys `monitor` and `objective`.
        known: the metrics of training and validation.
        of_training_alone: those among them that validation doesn't have.
        open_ended: metrics that are not known pass: the step may report them.

    Raises:
        UserError: naming the key and what it may be.
    """
    allowed = [f"{s}/{m}" for m in known for s in ("train", "val")]
    allowed = [name for name in allowed if name not in {f"val/{m}" for m in of_training_alone}]
    for key in ("monitor", "objective"):
        value: str = getattr(config, key)
        if value not in allowed and not (open_ended and value.startswith(("train/", "val/"))):
            raise UserError(
                f"{key}={value}: allowed are {', '.join(allowed)} (see the key metrics)"
            )


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings as (dotted key, value); lists are leaves."""
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{dotted}.")
        else:
            yield dotted, value

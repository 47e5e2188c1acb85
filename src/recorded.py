"""Recorded runs, found again by id or folder, with their configuration and their weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from src import resume
from src.compose import compose
from src.config import Config, validate
from src.data.dataset import Dataset
from src.data.inputs import Inputs
from src.data.load import load
from src.engine.memory import free_memory
from src.errors import UserError
from src.targets import suggest
from src.tracking.record import RunRecord

if TYPE_CHECKING:
    from src.engine.checkpoint import Checkpoint
    from src.engine.state import State

CHECKPOINTS = ("best", "last")
# Keys of `data` that decide how its rows go through the program, not which rows there are.
HOW_READ = ("batch_size", "evaluation_batch_size", "streaming", "cache")


@dataclass(frozen=True, eq=False)
class Weights:
    """The variables of one checkpoint: all of them, or those of the model at its best epoch."""

    state: "State"
    epoch: int
    update: int
    which: str


@dataclass(frozen=True, eq=False)
class Recorded:
    """A run as its folder tells it."""

    folder: Path
    record: RunRecord
    config: Config

    @classmethod
    def find(cls, wanted: str, outputs: Path) -> "Recorded":
        """The run with this id or in this folder, with the configuration that it recorded.

        Raises:
            UserError: there is no such run, it never began, or its files are damaged.
        """
        folder = resume.named(wanted, outputs, "run")
        path = folder / resume.CONFIG_FILE
        if not path.exists():
            raise UserError(f"run={wanted}: it failed before it began; {path} is missing")
        values: dict[str, Any] = resume.read_yaml(path, dict, "run")
        if missing := Config.model_fields.keys() - values.keys():
            # Recorded before these keys were there: their defaults leave a run as it was.
            now = OmegaConf.to_container(compose("config", []), resolve=True)
            assert isinstance(now, dict)
            values |= {key: now[key] for key in missing if key in now}
        try:
            config = validate(OmegaConf.create(values))
        except UserError as error:
            raise UserError(f"run={wanted}: its {path}: {error}") from error
        return cls(folder, RunRecord.load(folder), config)

    @property
    def outputs(self) -> Path:
        """The outputs folder that the run's own is in."""
        return self.folder.parents[1 if self.record.parent is None else 2]

    def inputs(self) -> Inputs:
        """What the run's model takes and gives.

        Raises:
            UserError: neither the run's folder tells, nor the data it was trained on.
        """
        return Inputs.read(self.folder) or Inputs.of(self._own_data())

    def data(self, overrides: Sequence[str]) -> tuple[Dataset, Config, bool]:
        """The data to score the run on, its configuration, and whether it is the run's own.

        Args:
            overrides: of the group `data`: a choice, keys of it, or both.

        Raises:
            UserError: an override is wrong, the data doesn't fit the run's model, or the run's own
                data is no longer what it was.
        """
        keys = {word.partition("=")[0].lstrip("+~") for word in overrides}
        if keys <= {f"data.{key}" for key in HOW_READ}:
            config = self._with_data(overrides)
            return self._own_data(config), config, True
        if "data.normalisation" in keys:
            raise UserError(
                "data.normalisation: other data is scaled as the run's training rows were; "
                "leave it out"
            )
        config = self._with_data(overrides)
        inputs = self.inputs()
        values = config.data.model_dump(by_alias=True)
        dataset = load(values, config.data.seed, inputs, room=free_memory())
        if dataset.labels != inputs.labels:
            raise UserError(
                f"data.labels: {dataset.name} has {dataset.labels} labels, the run was trained on "
                f"{inputs.labels} ones; data.labels=integer and data.labels=one_hot convert"
            )
        return dataset, config, False

    def weights(self, which: str) -> Weights:
        """The weights of `which` checkpoint, `best` or `last`.

        Raises:
            UserError: there is none yet, or the newest is damaged.
        """
        checkpoint = self._newest()
        progress = checkpoint.progress
        if which == "last":
            return Weights(checkpoint.last, progress["epoch"], checkpoint.update, which)
        if checkpoint.best is None or not progress.get("best"):
            raise UserError(
                f"checkpoint=best: no epoch of {self.record.id} has been validated yet; "
                "checkpoint=last takes its latest weights"
            )
        best = progress["best"]
        return Weights(checkpoint.best, best["epoch"], best["update"], which)

    def _newest(self) -> "Checkpoint":
        from src.engine.checkpoint import CheckpointError, Checkpoints  # needs TensorFlow

        try:
            checkpoint = Checkpoints(self.folder / "checkpoints").read_newest()
        except CheckpointError as error:
            raise UserError(
                f"run={self.record.id}: its newest checkpoint is damaged: {error}; restore the "
                f"file, or python -m src.train resume={self.record.id} goes on from the one before"
            ) from error
        if checkpoint is None:
            raise UserError(f"run={self.record.id}: it has no checkpoint yet")
        return checkpoint

    def _own_data(self, config: Config | None = None) -> Dataset:
        data = (config or self.config).data
        dataset = load(data.model_dump(by_alias=True), data.seed, room=free_memory())
        recorded = (self.record.dataset or {}).get("digest")
        if dataset.digest != recorded:
            raise UserError(
                f"data: {dataset.source} is no longer what {self.record.id} was trained on (its "
                "digest differs); name it as other data to use it as it is now, for example by "
                "data.path=..."
            )
        return dataset

    def _with_data(self, overrides: Sequence[str]) -> Config:
        """The run's configuration with these overrides of its data."""
        if any(word.startswith("data=") for word in overrides):
            labels = f"data.labels={self.config.data.labels}"
            node = compose("config", [labels, *overrides]).data
        else:
            node = OmegaConf.create(self.config.data.model_dump(by_alias=True))
            for word in overrides:
                _override(node, word)
        values = OmegaConf.create(self.config.model_dump(by_alias=True))
        values.data = node
        return validate(values)


def _override(node: Any, word: str) -> None:
    """Set the key of `data` that an override names."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise UserError(f"{word}: it can't be read as KEY=VALUE") from error
    key = override.key_or_group.removeprefix("data.")
    if override.is_delete() or override.is_sweep_override():
        raise UserError(f"{word}: give it as data.KEY=VALUE")
    if not override.is_add() and OmegaConf.select(node, key, default=KEYLESS) is KEYLESS:
        raise UserError(f"data.{key}: there is no such key{suggest(key, map(str, node))}")
    OmegaConf.update(node, key, override.value())


KEYLESS = object()

"""Starting from the weights of a recorded run: `init_from=RUN_ID`, or its folder."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from src import resume
from src.config import Config
from src.engine import checkpoint
from src.errors import UserError
from src.tracking.record import RunRecord

if TYPE_CHECKING:
    import keras

CHECKPOINTS = "checkpoints"
FILES = {"best": checkpoint.BEST, "last": checkpoint.LAST}
# A run that goes on, or is only looked at, has no use for the weights it started from.
FORGOTTEN = {"init_from": None, "init_skip": None, "init_digest": None}
NAMED = 3  # differences that a message names

Named = dict[tuple[str, int], Any]  # by path, and the how manieth of that path it is


@dataclass(frozen=True)
class Source:
    """The weights that `init_from` names.

    Attributes:
        wanted: the key's value, the same for the same weights.
        folder: of the newest checkpoint of the run.
        which: `best` or `last`.
    """

    wanted: str
    folder: Path
    which: str

    @property
    def digest(self) -> str:
        """The sha256 of the file that holds them."""
        return hashlib.sha256((self.folder / FILES[self.which]).read_bytes()).hexdigest()

    def values(self) -> Named:
        """The model's variables.

        Raises:
            UserError: the checkpoint is damaged.
        """
        try:
            found = checkpoint.load(self.folder)
        except checkpoint.CheckpointError as error:
            raise UserError(f"init_from={self.wanted}: {error}") from error
        values = found.last if self.which == "last" else found.best
        assert values is not None
        names = sorted(name for name in values if name.startswith("model/"))
        return _numbered((name.split("/", 2)[2], values[name]) for name in names)


def resolved(config: Config, outputs: Path) -> Config:
    """The configuration, the weights that it starts from made plain by their digest.

    Raises:
        UserError: there is no such run, it has no such weights, or they are not of `init_digest`.
    """
    if config.init_from is None:
        return config
    source = _find(config.init_from, outputs)
    digest = source.digest
    if config.init_digest not in (None, digest):
        raise UserError(
            f"init_digest={config.init_digest}: the weights of {source.wanted} are of {digest}; "
            "leave it out to take them as they are now"
        )
    return config.model_copy(update={"init_from": source.wanted, "init_digest": digest})


def of_resumed(config: Config, folder: Path, command: Sequence[str], outputs: Path) -> Config:
    """`resolved` of a run that goes on: what it started from may have changed or gone since.

    Args:
        config: of the run and the command that resumes it.
        folder: of the run.
        command: the overrides of that command; one that names weights anew is held against the run.
        outputs: where runs are looked for.
    """
    if any(override.lstrip("+").startswith("init_") for override in command):
        return resolved(config, outputs)
    try:
        stored = yaml.safe_load((folder / resume.CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return config  # src.resume says what is wrong with it
    keys = ("init_from", "init_digest") if isinstance(stored, dict) else ()
    return config.model_copy(update={key: stored.get(key) for key in keys})


def give(model: "keras.Model", config: Config) -> None:
    """Give a built model the weights that it is to start from; the states of seeds stay its own.

    Variables belong together by their paths, such as `mlp/dense_1/kernel`.

    Raises:
        UserError: the run's model is another one, but for what `init_skip` leaves out.
    """
    if config.init_from is None:
        return
    source = _find(config.init_from, Path(config.outputs).expanduser())
    if source.digest != config.init_digest:
        raise UserError(f"init_from={source.wanted}: its weights changed while this run began")
    given, own = source.values(), _numbered((weight.path, weight) for weight in model.weights)
    given = {key: value for key, value in given.items() if not _is_seed(key[0])}
    if config.init_skip is not None:
        given, own = _without(config.init_skip, given, own)
    different = []
    for key in dict.fromkeys([*own, *given]):
        path, there = key[0], given.get(key)
        if key not in own:
            different.append(f"{path} is there alone")
        elif there is None:
            different.append(f"{path} is not there")
        elif tuple(own[key].shape) != there.shape:
            different.append(f"{path} is {there.shape} there and {tuple(own[key].shape)} here")
    if different:
        more = f" and {len(different) - NAMED} more" if len(different) > NAMED else ""
        raise UserError(
            f"init_from={source.wanted}: another model: {'; '.join(different[:NAMED])}{more}; "
            "init_skip=REGEX leaves out the variables whose paths match"
        )
    for key, weight in own.items():
        weight.assign(given[key])


def _find(wanted: str, outputs: Path) -> Source:
    name, _, which = wanted.rpartition(":")
    if which not in FILES or not name:
        name, which = wanted, "best"
    folder = resume.named(name, outputs, "init_from")
    inside = outputs.absolute() in folder.absolute().parents
    plain = f"{RunRecord.load(folder).id if inside else folder}:{which}"
    numbered = [path for path in folder.glob(f"{CHECKPOINTS}/*") if path.name.isdigit()]
    if not numbered:
        raise UserError(f"init_from={plain}: that run has no checkpoint yet")
    newest = max(numbered, key=lambda path: int(path.name))
    if not (newest / FILES[which]).is_file():
        raise UserError(
            f"init_from={plain}: no epoch of that run has been validated yet; :last takes its "
            "latest weights"
        )
    return Source(plain, newest, which)


def _without(pattern: str, given: Named, own: Named) -> tuple[Named, Named]:
    paths = {path for path, _ in [*own, *given]}
    skipped = {path for path in paths if re.search(pattern, path)}
    if not skipped or {path for path, _ in own} <= skipped:
        raise UserError(
            f"init_skip={pattern}: it matches {'every' if skipped else 'no'} variable of the "
            f"model; they are {', '.join(dict.fromkeys(path for path, _ in own))}"
        )
    kept = [
        {key: value for key, value in named.items() if key[0] not in skipped}
        for named in (given, own)
    ]
    return kept[0], kept[1]


def _numbered(pairs: Iterable[tuple[str, Any]]) -> Named:
    """By path, and a number where layers share a name."""
    named: Named = {}
    for path, value in pairs:
        number = 0
        while (path, number) in named:
            number += 1
        named[path, number] = value
    return named


def _is_seed(path: str) -> bool:
    return path.rpartition("/")[2] == "seed_generator_state"

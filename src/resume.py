"""Finding the run that `resume=` names, and the configuration it goes on with."""

import functools
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from src.config import Config, flatten
from src.console import warn
from src.errors import UserError
from src.identity import FREE, fingerprint
from src.tracking import journal
from src.tracking.children import POINTER, run_of
from src.tracking.outstanding import load_delivery
from src.tracking.record import FILE_NAME, RunRecord
from src.tracking.tracker import ARTIFACTS, SUMMARY

FINGERPRINT_TAG = "harness.config"
OVERRIDES_FILE = "overrides.yaml"
CONFIG_FILE = "config.yaml"
# A run that goes on may be trained for longer: these decide when it ends, not what an update does.
MAY_CHANGE = (*FREE, "epochs", "early_stopping.")


def find(config: Config, outputs: Path) -> Path | None:
    """The folder of the run to go on with; None for a new one.

    Raises:
        UserError: `resume` names a run that does not exist; the newest ones are listed.
    """
    wanted = config.resume
    if wanted is False:
        return None
    if wanted == "auto":
        newest = _newest(outputs, fingerprint(config))
        return None if newest is None or _finished(newest) else newest
    return named(str(wanted), outputs, "resume")


def done(config: Config, outputs: Path) -> Path | None:
    """The finished run that a sweep's job with `resume=auto` takes as it is; None: train it.

    It is of the job's configuration, and of a sweep of which some job did not finish.
    """
    newest = _newest(outputs, fingerprint(config))
    if newest is None or not _finished(newest):
        return None
    pointers = (path.parent for path in outputs.glob(f"sweeps/*/*/{POINTER}"))
    holders = [newest, *(folder for folder in pointers if run_of(folder) == newest)]
    sweeps = [holder.parent for holder in holders if (holder.parent / FILE_NAME).is_file()]
    if not sweeps or _status(max(sweeps, key=_claimed)) == "FINISHED":
        return None
    return newest


def named(wanted: str, outputs: Path, key: str) -> Path:
    """The folder of the run that `key=wanted` names, by its id, MLflow's id or its folder.

    Raises:
        UserError: there is no such run; the newest ones are listed.
    """
    folder = Path(wanted).expanduser()
    if (folder / FILE_NAME).is_file():
        if RunRecord.load(folder).kind == "sweep":
            hint = ", or give the sweep's command with resume=auto" if key == "resume" else ""
            raise UserError(
                f"{key}={wanted}: that is a sweep; name one of its numbered folders{hint}"
            )
        return folder.absolute()
    if (outputs / "sweeps" / wanted / FILE_NAME).is_file():
        return named(str(outputs / "sweeps" / wanted), outputs, key)  # says what is wrong with it
    runs = list(_runs(outputs))
    for run in runs:
        if run.name == wanted:
            RunRecord.load(run)  # damaged, it is the one asked for that can't go on
        record = _record(run)
        if record and wanted in (record.id, load_delivery(run).get("run_id")):
            return run
    ids = [record.id if (record := _record(run)) else run.name for run in runs[:3]]
    newest = ", ".join(ids) or "none yet"
    raise UserError(
        f"{key}={wanted}: neither a run id nor a run's folder under {outputs}; the newest: {newest}"
    )


def files(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, str]:
    """Name to text of what a run's folder keeps for a resume: configuration and overrides."""
    return {
        CONFIG_FILE: yaml.safe_dump(values, sort_keys=False),
        OVERRIDES_FILE: yaml.safe_dump(list(overrides)),
    }


def overrides_of(folder: Path) -> list[str]:
    """The overrides of the command that started the run in `folder`."""
    overrides = read_yaml(folder / OVERRIDES_FILE, list)
    return [str(override) for override in overrides]


def merged_overrides(folder: Path, command: Sequence[str]) -> list[str]:
    """The overrides of the run in `folder`, then those of the command that resumes it."""
    return [o for o in [*overrides_of(folder), *command] if not o.startswith("resume=")]


def check_same(config: Config, folder: Path) -> None:
    """Whether the run in `folder` can go on under `config`.

    Raises:
        UserError: naming the first key that decides what is computed and differs.
    """
    stored = read_yaml(folder / CONFIG_FILE, dict)
    before, now = dict(flatten(stored)), dict(flatten(config.model_dump(by_alias=True)))
    for key in sorted(before.keys() | now.keys()):
        if not key.startswith(MAY_CHANGE) and before.get(key) != now.get(key):
            raise UserError(
                f"{key}: the run in {folder.name} has {before.get(key)}, this command "
                f"{now.get(key)}; a resumed run keeps what decides its result "
                "(epochs may grow, early_stopping may change)"
            )


def read_yaml(path: Path, kind: type, key: str = "resume") -> Any:
    """The content of a file that a run wrote; UserError when it is not of that kind."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{key}: {path} can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, kind):
        raise UserError(f"{key}: {path} can't be read: it holds no {kind.__name__}")
    return content


def _runs(outputs: Path) -> Iterator[Path]:
    """The folders of all runs, newest first."""
    found = [
        path.parent
        for pattern in ("runs/*", "sweeps/*/*")
        for path in outputs.glob(f"{pattern}/{FILE_NAME}")
    ]
    yield from sorted(found, key=_claimed, reverse=True)


def _claimed(folder: Path) -> int:
    """When the folder was claimed, in nanoseconds since the epoch."""
    return (folder / FILE_NAME).stat().st_mtime_ns


def _record(folder: Path) -> RunRecord | None:
    """The record of a run that was not asked for by name; a damaged one is told and passed over."""
    try:
        return RunRecord.load(folder)
    except UserError as error:
        _warn_once(f"{error}; passed over (python -m src.doctor sets it aside)")
        return None


@functools.cache  # each job of a sweep looks for its run
def _warn_once(text: str) -> None:
    warn(text)


def _newest(outputs: Path, digest: str) -> Path | None:
    """The newest run of a configuration."""
    for run in _runs(outputs):
        record = _record(run)
        if record and record.tags.get(FINGERPRINT_TAG) == digest:
            return run
    return None


def _finished(run: Path) -> bool:
    """Its last attempt came to its end, and said so in the journal: the summary comes before."""
    return summary_of(run).get("status") == _status(run) == "FINISHED"


def _status(folder: Path) -> str | None:
    """How the last attempt of a run or a sweep ended, by its journal; None while it goes on."""
    status = None
    with suppress(FileNotFoundError):
        for _, line in journal.read(folder / journal.FILE_NAME):
            if line["kind"] in ("begin", "end"):
                status = line.get("status")
    return status


def objective_of(folder: Path) -> float:
    """The objective that the run in `folder` reached, NaN for none."""
    value = summary_of(folder).get("objective_value")
    return math.nan if value is None else float(value)


def summary_of(folder: Path) -> dict[str, Any]:
    """What the run in `folder` wrote at its end; empty when it was killed before that."""
    try:
        content = json.loads((folder / ARTIFACTS / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

"""run.json: what a run is, written once when its folder is claimed and never changed afterwards."""

import dataclasses
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from src import crash_points
from src.errors import UserError
from src.tracking import process
from src.tracking.paths import sync_folder

FILE_NAME = "run.json"
ID_TAG = "harness.id"  # of the run in the store: says which folder is behind it
FOLDER_TAG = "harness.folder"


_KINDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "kind": str,
    "parent": (str, type(None)),
    "created": int,
    "experiment": str,
    "tracking_uri": (str, type(None)),
    "artifacts": str,
    "params": dict,
    "tags": dict,
    "dataset": (dict, type(None)),
    "process": dict,
}


@dataclass
class RunRecord:
    """The static record of a run or of a sweep.

    parent: path of the sweep's folder relative to the run's folder (".."), or None.
    created: milliseconds since the epoch. tracking_uri: None for tracking=none.
    dataset: {name, digest, source, train_rows, val_rows, test_rows, input_shape, num_classes, ...}.
    process: identity of the process that claimed the folder (see `process.identity`).
    """

    id: str
    name: str
    kind: Literal["run", "sweep"] = "run"
    parent: str | None = None
    created: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    experiment: str = "Default"
    tracking_uri: str | None = None
    artifacts: Literal["full", "light", "none"] = "full"
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] | None = None
    process: dict[str, Any] = field(default_factory=process.identity)

    def claim(self, folder: Path, files: Mapping[str, str] | None = None) -> None:
        """Make `folder` (parents too) this run's own, by creating its run.json exclusively.

        The file appears whole and flushed to disk or not at all. UserError: already claimed.

        files: name to text of what belongs to every run; where its record is, they are too.
        """
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            for name, text in (files or {}).items():
                _write(folder / name, text)
            crash_points.passing("claim.files")
            _write(temporary, json.dumps(dataclasses.asdict(self), indent=1) + "\n")
            crash_points.passing("claim.written")
            os.link(temporary, folder / FILE_NAME)  # unlike a rename, fails when the name exists
        except FileExistsError:
            raise UserError(
                f"{folder} already belongs to a run: go on with it by resume={folder}, "
                "or choose another folder"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
        crash_points.passing("claim.linked")
        sync_folder(folder)

    @staticmethod
    def load(folder: Path) -> "RunRecord":
        """Read the record of `folder`. UserError: no run lives there, or its record is damaged."""
        path = folder / FILE_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{folder} is not a run's folder: it has no {FILE_NAME}") from None
        except (ValueError, OSError) as error:
            raise UserError(f"{path} can't be read: {error}") from None
        if not isinstance(content, dict) or not isinstance(content.get("id"), str):
            raise UserError(f"{path} is not a run's record: it has no id")
        content.setdefault("name", content["id"])
        content.setdefault("process", {})  # not this process, which only reads
        known = {f.name for f in dataclasses.fields(RunRecord)}
        record = RunRecord(**{key: value for key, value in content.items() if key in known})
        for key, kinds in _KINDS.items():
            if not isinstance(getattr(record, key), kinds):
                raise UserError(f"{path} is not a run's record: its {key} is damaged")
        return record


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

"""Checkpoints: whole or invisible, tensors and JSON alone.

    checkpoints/00000660/manifest.json       position, progress and the digest of every file
                         last.safetensors    every variable after 660 updates
                         best.safetensors    the model's variables at the best epoch so far

A checkpoint is written into a folder aside, flushed to disk and renamed into place, so a kill at
any instant leaves the one before it as the newest.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.numpy

from src import crash_points, storage

if TYPE_CHECKING:  # what looks checkpoints over has no use for TensorFlow
    from src.engine.state import State

FOLDER = "checkpoints"  # in a run's folder
FORMAT = 1
MANIFEST = "manifest.json"
LAST = "last.safetensors"
BEST = "best.safetensors"


class CheckpointError(Exception):
    """A checkpoint that can't be written or read; the message says which file and why."""


@dataclass(frozen=True)
class Checkpoint:
    """One restored checkpoint.

    Attributes:
        last: every variable of the run.
        best: the model's variables at the best epoch so far, None before the first epoch's end.
        progress: JSON of the run: its position, best value, metrics so far.
        surroundings: in which it was made (see `src.engine.surroundings`).
    """

    folder: Path
    update: int
    last: "State"
    best: "State | None"
    progress: dict[str, Any]
    surroundings: dict[str, str] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run in `folder`, of which the newest `keep` stay.

    surroundings: kept with each (see `src.engine.surroundings`).
    """

    def __init__(
        self, folder: Path, keep: int = 2, surroundings: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.keep = keep
        self.surroundings = surroundings or {}

    def save(
        self, update: int, last: "State", best: "State | None", progress: dict[str, Any]
    ) -> Path:
        """Write the state after `update` updates.

        Raises:
            CheckpointError: the disk is full or refuses; the checkpoints before it are untouched.
        """
        target = self.folder / f"{update:08d}"
        aside = self.folder / f".{target.name}.{os.getpid()}"
        tensors = {LAST: safetensors.numpy.save(last)}
        if best is not None:
            tensors[BEST] = safetensors.numpy.save(best)
        files = {name: _digest(content) for name, content in tensors.items()}
        if self._holds(target, files, progress):
            return target  # the same update again, after a resume
        try:
            shutil.rmtree(aside, ignore_errors=True)  # of a killed process that had this one's id
            aside.mkdir(parents=True)
            crash_points.passing("checkpoint.aside")
            for name, content in tensors.items():
                _write(aside / name, content)
            manifest = {
                "format": FORMAT,
                "update": update,
                "files": files,
                "progress": progress,
                "surroundings": self.surroundings,
            }
            _write(aside / MANIFEST, _sealed(manifest))
            _flush_folder(aside)
            crash_points.passing("checkpoint.flushed")
            replaced = self.folder / f".{target.name}.replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            if target.exists():  # the same update, damaged or of a run that isn't deterministic
                target.rename(replaced)
                crash_points.passing("checkpoint.replaced")
            try:
                aside.rename(target)
            except OSError:
                if replaced.exists():
                    replaced.rename(target)
                raise
            crash_points.passing("checkpoint.renamed")
            _flush_folder(self.folder)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            needed = sum(len(content) for content in tensors.values())
            raise CheckpointError(str(storage.refused(target, error, needed))) from error
        for old in self._numbered()[: -self.keep]:
            crash_points.passing("checkpoint.prune")
            with suppress(OSError):  # it stays, whole
                # Out of sight at once: files are removed one by one, and a kill may come between.
                old.rename(self.folder / f".{old.name}.pruned")
            crash_points.passing("checkpoint.pruned")
        for abandoned in self.abandoned():
            shutil.rmtree(abandoned, ignore_errors=True)
        return target

    def newest(self, warn: Callable[[str], None]) -> Checkpoint | None:
        """The newest valid checkpoint; a damaged one is set aside and the one before it used."""
        for folder in reversed(self._numbered()):
            try:
                return load(folder)
            except CheckpointError as error:
                warn(f"Checkpoint set aside as damaged-{folder.name}: {error}")
                set_aside(folder)
        return None

    def damaged(self) -> dict[Path, str]:
        """The checkpoints that can't be restored, and why not."""
        found = {}
        for folder in self._numbered():
            try:
                load(folder)
            except CheckpointError as error:
                found[folder] = str(error)
        return found

    def abandoned(self) -> list[Path]:
        """What saves that were killed left behind."""
        return sorted(self.folder.glob(".[0-9]*.*"))

    def read_newest(self) -> Checkpoint | None:
        """The newest checkpoint, of a run that may still be training; nothing is set aside.

        Raises:
            CheckpointError: it is damaged.
        """
        tried = None
        while folders := self._numbered():
            try:
                return load(folders[-1])
            except CheckpointError:
                if folders[-1] == tried:
                    raise
                tried = folders[-1]  # once more: a newer one may just have taken its place
        return None

    def _holds(self, target: Path, files: dict[str, Any], progress: dict[str, Any]) -> bool:
        """Whether `target` is this very checkpoint, whole."""
        try:
            load(target)
            manifest = _unsealed(target / MANIFEST)
        except CheckpointError:
            return False
        return manifest["files"] == files and manifest["progress"] == progress

    def _numbered(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if path.name.isdigit() and path.is_dir()]
        return sorted(found, key=lambda path: int(path.name))  # 8 digits, or more of long runs


def load(folder: Path) -> Checkpoint:
    """Read one checkpoint and hold every file against its digest.

    Raises:
        CheckpointError: a file is missing, damaged or not of this format.
    """
    manifest = _unsealed(folder / MANIFEST)
    states: dict[str, State] = {}
    for name in (LAST, BEST):
        if name not in manifest["files"]:
            continue
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from error
        if _digest(content) != manifest["files"][name]:
            raise CheckpointError(f"{path}: its content does not match its digest")
        try:
            states[name] = safetensors.numpy.load(content)
        except safetensors.SafetensorError as error:
            raise CheckpointError(f"{path}: {error}") from error
    if LAST not in states:
        raise CheckpointError(f"{folder / MANIFEST}: it lists no {LAST}")
    return Checkpoint(
        folder,
        manifest["update"],
        states[LAST],
        states.get(BEST),
        manifest["progress"],
        manifest.get("surroundings", {}),
    )


def set_aside(folder: Path) -> None:
    """Keep a damaged checkpoint under a name that nothing restores."""
    damaged = folder.with_name(f"damaged-{folder.name}")
    shutil.rmtree(damaged, ignore_errors=True)
    crash_points.passing("checkpoint.damaged")
    folder.rename(damaged)


def _sealed(manifest: dict[str, Any]) -> bytes:
    body = json.dumps(manifest, indent=1, sort_keys=True)
    return json.dumps(
        {"sha256": hashlib.sha256(body.encode()).hexdigest(), "manifest": body}
    ).encode()


def _unsealed(path: Path) -> dict[str, Any]:
    try:
        sealed = json.loads(path.read_bytes())
        body = sealed["manifest"]
        if hashlib.sha256(body.encode()).hexdigest() != sealed["sha256"]:
            raise CheckpointError(f"{path}: its content does not match its digest")
        manifest = json.loads(body)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: it is not a manifest") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path}: it is not of format {FORMAT}, which this version reads")
    kinds = {"update": int, "files": dict, "progress": dict, "surroundings": dict}
    whole = {"surroundings": {}, **manifest}  # older ones have none
    if any(not isinstance(whole.get(key), kind) for key, kind in kinds.items()):
        raise CheckpointError(f"{path}: it is not a manifest")
    return manifest


def _digest(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        crash_points.passing("checkpoint.opened")
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    crash_points.passing("checkpoint.written")


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

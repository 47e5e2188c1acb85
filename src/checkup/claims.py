"""Folders that a killed process only half claimed, and records that can't be read."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from src.checkup.finding import Finding
from src.errors import UserError
from src.tracking import closing, folders, journal
from src.tracking.children import POINTER
from src.tracking.record import FILE_NAME, RunRecord

SET_ASIDE = f"damaged-{FILE_NAME}"
CLAIM_SECONDS = 10.0  # a claim takes milliseconds; a younger folder may be one under way


def examine(folder: Path) -> Iterator[Finding]:
    """What is wrong with a folder that should be a run's, but from which no record can be read."""
    path = folder / FILE_NAME
    if path.exists():
        try:
            RunRecord.load(folder)
        except UserError as error:
            if closing.writer_alive(folder, None) is not True:
                yield Finding(
                    folder,
                    "record",
                    folders.label(folder),
                    str(error),
                    f"keep it as {SET_ASIDE} (until a copy is put back, this is no run)",
                    lambda: path.rename(folder / SET_ASIDE),
                )
        return
    names = {entry.name for entry in folder.iterdir()}
    drafts = {name for name in names if name.startswith(f".{FILE_NAME}.")}
    if names - drafts:
        if names & {journal.FILE_NAME, "checkpoints"} and SET_ASIDE not in names:
            yield Finding(
                folder,
                "no record",
                folders.label(folder),
                f"it has a run's files but no {FILE_NAME}",
                f"put back a copy of {FILE_NAME}, or remove the folder",
            )
        return
    if POINTER not in names and _abandoned(folder, drafts):
        yield Finding(
            folder,
            "half-claimed",
            folders.label(folder),
            "half claimed by a process that is gone; nothing was written there",
            "remove the empty folder",
            lambda: _remove(folder),
        )


def _abandoned(folder: Path, drafts: set[str]) -> bool:
    """Whether the claim of `folder` can't be under way any more."""
    if time.time() - folder.stat().st_mtime < CLAIM_SECONDS:
        return False
    owners = [name.removeprefix(f".{FILE_NAME}.").partition(".")[0] for name in drafts]
    return not any(owner.isdigit() and _lives(int(owner)) for owner in owners)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(folder: Path) -> None:
    for draft in folder.glob(f".{FILE_NAME}.*"):
        draft.unlink(missing_ok=True)
    folder.rmdir()  # refuses when something was written meanwhile

"""Damaged checkpoints, and what interrupted saves left behind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from src.checkup.finding import Finding
from src.checkup.place import Place, abandoned_files
from src.engine import checkpoint
from src.engine.checkpoint import Checkpoints


def examine(place: Place) -> Iterator[Finding]:
    """What is wrong with the saves of a run that nothing writes any more."""
    checkpoints = Checkpoints(place.folder / checkpoint.FOLDER)
    for folder, reason in checkpoints.damaged().items():
        yield Finding(
            place.folder,
            f"checkpoint {folder.name}",
            place.name,
            f"damaged checkpoint: {reason}",
            f"set it aside as damaged-{folder.name}; resume takes the one before it",
            lambda folder=folder: _set_aside(place, folder),  # type: ignore[misc]
        )
    left = checkpoints.abandoned()
    if not place.being_delivered:
        left += abandoned_files(place.folder)
    if left:
        yield Finding(
            place.folder,
            "leftovers",
            place.name,
            f"left behind by interrupted saves: {', '.join(path.name for path in left)}",
            "remove them",
            lambda: _remove(place, left),
        )


def _set_aside(place: Place, folder: Path) -> None:
    with place.untouched():
        checkpoint.set_aside(folder)


def _remove(place: Place, left: list[Path]) -> None:
    with place.untouched():
        for path in left:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

"""Which folders of an outputs folder hold runs, and which of them a command's words mean."""

from collections.abc import Iterable
from pathlib import Path

from src.errors import UserError
from src.tracking.journal import FILE_NAME as JOURNAL
from src.tracking.record import FILE_NAME as RECORD

RUNS, SWEEPS = "runs", "sweeps"


def roots(names: Iterable[str], outputs: Path) -> list[Path]:
    """The folders of runs and sweeps that `names` mean: folders, or ids below `outputs`.

    No name means all of them.

    Raises:
        UserError: `outputs` is no folder, or a name means no run.
    """
    names = list(names)
    if names:
        return [_find(name, outputs) for name in names]
    if not outputs.is_dir():
        raise UserError(f"outputs={outputs} is not a folder: nothing was trained there")
    return [
        path
        for kind in (RUNS, SWEEPS)
        for path in sorted((outputs / kind).glob("*"))
        if path.is_dir()
    ]


def jobs(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, in their order."""
    children = (path for path in sweep.iterdir() if path.name.isdigit() and path.is_dir())
    return sorted(children, key=lambda path: int(path.name))


def recorded(places: Iterable[Path]) -> list[Path]:
    """The run folders at `places` and in them, a sweep before its children."""
    found: dict[Path, None] = {}
    for place in places:
        if (place / RECORD).is_file():
            if (place.parent / RECORD).is_file():  # a child's run hangs on its sweep's
                found[place.parent.absolute()] = None
            found[place.absolute()] = None
        for child in sorted(place.glob(f"*/{RECORD}"), key=lambda path: path.parent.name.zfill(9)):
            found[child.parent.absolute()] = None
    return list(found)


def label(folder: Path) -> str:
    """A short name to show: a run's or a sweep's id, a job's number behind that of its sweep."""
    return f"{folder.parent.name}/{folder.name}" if folder.name.isdigit() else folder.name


def _find(name: str, outputs: Path) -> Path:
    for path in (Path(name), outputs / RUNS / name, outputs / SWEEPS / name):
        if any((path / file).is_file() for file in (RECORD, JOURNAL)) or any(
            path.glob(f"*/{RECORD}")
        ):
            return path
    raise UserError(f"{name} is no run: give a folder that holds {RECORD}, or a run's id")

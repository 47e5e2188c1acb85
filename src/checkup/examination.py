"""Everything that is looked at, of some runs or of a whole outputs folder."""

from collections.abc import Sequence
from pathlib import Path

from src.checkup import claims, databases, journals, saves
from src.checkup.finding import Examination
from src.checkup.place import Place
from src.errors import UserError
from src.tracking import closing, folders, sqlite_file
from src.tracking.record import RunRecord


def examine(outputs: Path, names: Sequence[str]) -> Examination:
    """Look at the runs that `names` mean, or at everything below `outputs`; changes nothing.

    What a living process writes is left alone.

    Raises:
        UserError: no such runs.
    """
    result = Examination()
    places: list[Place] = []
    for folder in _folders(folders.roots(names, outputs)):
        try:
            places.append(Place(folder))
        except (UserError, OSError):
            if not _expected(folder):
                result.findings += claims.examine(folder)
    result.runs = len(places)
    for place in places:
        result.findings += databases.hanging_delivery(place)
        if place.over:
            result.findings += journals.examine(place)
            result.findings += saves.examine(place)
            if place.being_delivered and journals.end_is_unknown(place):
                result.notes.append(f"{place.name}: another process is delivering its end")
        elif place.alive is None:
            result.notes.append(
                f"{place.name} has not ended, and ran on {place.record.process.get('host')}: "
                "whether it still does can't be known from here (python -m src.sync close=true)"
            )
    living = sum(not place.over and place.alive is True for place in places)
    if living:
        result.notes.append(f"{living} of them going on, left alone")
    if not names:
        databases.examine(_databases(outputs, places), places, result)
    return result


def _folders(roots: Sequence[Path]) -> list[Path]:
    """The folders of runs and sweeps at `roots` and in them, a sweep before its jobs."""
    found: dict[Path, None] = {}
    for root in roots:
        found[root.absolute()] = None
        for job in folders.jobs(root):
            found[job.absolute()] = None
    return list(found)


def _expected(folder: Path) -> bool:
    """The folder of a job whose sweep goes on: its run is still to come."""
    try:
        sweep = RunRecord.load(folder.parent)
    except (UserError, OSError):
        return False
    return (
        closing.writer_alive(folder.parent, sweep) is not False
        and not (folder / "run.json").exists()
    )


def _databases(outputs: Path, places: Sequence[Place]) -> list[Path]:
    """The SQLite files that runs are delivered to, that of `outputs` among them."""
    found = {outputs.absolute() / "mlflow.db": None}
    for place in places:
        path = sqlite_file.path_of(place.record.tracking_uri or "")
        if path is not None:
            found[path] = None
    return list(found)

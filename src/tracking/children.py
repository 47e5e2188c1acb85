"""A sweep's numbered folders: each holds the run of its job, or names that of an earlier sweep."""

from pathlib import Path

from src.tracking.record import FILE_NAME

POINTER = "goes_on_in.txt"


def point_to(run: Path, folder: Path) -> None:
    """Note in a job's folder that its run is that of an earlier sweep."""
    if run != folder:
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{POINTER}"
        aside.write_text(f"{run}\n", encoding="utf-8")
        aside.rename(folder / POINTER)


def run_of(folder: Path) -> Path | None:
    """The folder of a job's run: its own, or that of an earlier sweep; None before it has one."""
    if (folder / FILE_NAME).is_file():
        return folder
    if (folder / POINTER).is_file():
        return Path((folder / POINTER).read_text(encoding="utf-8").strip())
    return None

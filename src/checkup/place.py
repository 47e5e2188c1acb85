"""A run's folder as it is found: its record, its journal, and whether its process lives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from src import locks
from src.errors import UserError
from src.tracking import closing, folders, journal, process
from src.tracking.journal import JournalDamagedError, Line
from src.tracking.outstanding import FILE_NAME as DELIVERY
from src.tracking.record import RunRecord

DELIVERY_LOCK = "delivery.lock"


@dataclass(frozen=True)
class Journalled:
    """What a journal holds.

    size: bytes of its whole lines; torn: bytes after them. begun: training began at least once.
    end: that of the last attempt, if it has one.
    damage: why it can't be read to its last line, or "".
    """

    size: int
    torn: int
    begun: bool
    end: Line | None
    damage: str


class Place:
    """A folder with a run's or a sweep's record. Raises UserError: there is none, or a damaged one.

    Attributes:
        alive: whether its process lives; None when that can't be known from here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folders.label(folder)
        self.record = RunRecord.load(folder)
        self.alive = closing.writer_alive(folder, self.record)

    @cached_property
    def journal(self) -> Journalled | None:
        """None when there is no journal."""
        path = self.folder / journal.FILE_NAME
        size, begun, end, damage = 0, False, None, ""
        try:
            for number, (offset, line) in enumerate(journal.read(path)):
                if line.get("seq") != number:
                    damage = f"{path}: line {number + 1} is missing"
                    break
                size, begun = offset, begun or line["kind"] == "begin"
                if line["kind"] in ("begin", "end"):  # src.evaluate writes after the end
                    end = line if line["kind"] == "end" else None
            total = path.stat().st_size
        except FileNotFoundError:
            return None
        except JournalDamagedError as error:
            return Journalled(size, 0, begun, None, str(error))
        return Journalled(size, 0 if damage else total - size, begun, end, damage)

    @property
    def over(self) -> bool:
        """Nothing writes here any more: it has ended, or its process is gone."""
        return self.alive is False or (self.journal is not None and self.journal.end is not None)

    @property
    def being_delivered(self) -> bool:
        """A process is delivering this run at the moment."""
        path = self.folder / DELIVERY_LOCK
        return path.exists() and locks.taken(path)

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Keep every run out of this folder, so that it can be mended.

        Raises:
            UserError: a process writes here.
        """
        path = self.folder / journal.FILE_NAME
        descriptor = locks.try_lock(path) if path.exists() else None
        if descriptor is None and (path.exists() or process.alive(self.record.process)):
            raise UserError(f"{self.name} is being written by a process; nothing was changed")
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)


def abandoned_files(folder: Path) -> list[Path]:
    """What was written aside in a run's folder by processes that were killed then.

    Only to be asked for where nothing is being written or delivered.
    """
    found: list[Path] = []
    for pattern in (".run.json.*", f".{DELIVERY}.*", "artifacts/.*.json.*", ".model.aside"):
        found += folder.glob(pattern)
    return sorted(found)

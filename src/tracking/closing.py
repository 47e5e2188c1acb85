"""Runs whose process is gone get the end that they could not write themselves."""

from contextlib import suppress
from pathlib import Path

from src.tracking import journal, process
from src.tracking.journal import Journal, JournalBusyError, JournalDamagedError
from src.tracking.record import RunRecord

REASON = "the process ended without closing the run"


def writer_alive(folder: Path, record: RunRecord | None) -> bool | None:
    """Whether the process that last began this run still lives; None: can't be known from here.

    record: None where it can't be read, and the journal alone tells.
    """
    who = record.process if record else None
    with suppress(FileNotFoundError, JournalDamagedError):  # as far as the journal can be read
        for _, line in journal.read(folder / journal.FILE_NAME):
            if line["kind"] == "begin" and line.get("process"):
                who = line["process"]
    return process.alive(who)


def close(folder: Path, reason: str = REASON, *, never_began: bool = False) -> bool:
    """Write the end line of a run that has none; False when it ended by itself or is being written.

    Its status is KILLED, its time of death that of its last line.

    never_began: close it also where training has not begun; else that is left alone.
    """
    path = folder / journal.FILE_NAME
    last_sign = RunRecord.load(folder).created if never_began else 0
    with suppress(FileNotFoundError):
        for _, line in journal.read(path):
            last_sign = line["t"]
    try:
        with Journal(path) as writer:
            if writer.ended is not None or not (writer.attempts or never_began):
                return False
            writer.append(
                "end",
                status="KILLED",
                reason=reason,
                update=writer.last_update,
                epoch=writer.epochs_done,
                last_sign=last_sign,
            )
            writer.sync()
    except JournalBusyError:
        return False
    return True

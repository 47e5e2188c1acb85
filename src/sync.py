"""Deliver runs to the tracking store that it does not hold yet.

    python -m src.sync                        everything below outputs/
    python -m src.sync FOLDER ...             these runs or sweeps, also copied from another machine

A run whose process is gone without an end is closed as KILLED first. May be called as often as one
likes: what the store holds is not doubled.
"""

import sys
from contextlib import suppress
from pathlib import Path

from src.commands import Setting, exit_code, folders_and_settings
from src.errors import EXIT_FAILED, UserError
from src.tracking import closing, folders, journal, late
from src.tracking.outstanding import load_delivery, outstanding
from src.tracking.record import RunRecord

SETTINGS = {
    "outputs": Setting("root of all that training wrote (default: outputs)", "outputs"),
    "uri": Setting("deliver to this store instead of the one each run names"),
    "again": Setting(
        "true: deliver from the start once more, e.g. into a store restored from a backup",
        "false",
        "flag",
    ),
    "close": Setting(
        "true: close runs without an end even if their process ran on another machine",
        "false",
        "flag",
    ),
    "timeout": Setting("seconds to go on for at most (default: 600)", "600", "seconds"),
}
CODES = "0 delivered, 1 something isn't, 2 wrong input"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""

    def work() -> int:
        names, values = folders_and_settings("src.sync", __doc__, SETTINGS, CODES, arguments)
        return _sync(folders.recorded(folders.roots(names, Path(values["outputs"]))), values)

    return exit_code(work, interrupted="stopped; what was delivered stays delivered")


def _sync(found: list[Path], options: dict[str, str]) -> int:
    records, code = {}, 0
    for folder in found:
        try:
            records[folder] = RunRecord.load(folder)
        except UserError as error:  # the others are delivered all the same
            print(f"{folders.label(folder)}: {error}; python -m src.doctor sets it aside")
            code = EXIT_FAILED
    wanted = [
        folder
        for folder, record in records.items()
        if (options["uri"] or record.tracking_uri)
        and (options["again"] == "true" or options["uri"] or _needs(folder, record))
    ]
    problems: dict[Path, str] = {}
    if wanted:
        problems = _deliver(wanted, options)
    for folder, record in records.items():
        text, good = _line(folder, record, folder in wanted, problems.get(folder, ""))
        print(text)
        code = code if good else EXIT_FAILED
    if not found:
        print("no runs here")
    return code


def _needs(folder: Path, record: RunRecord) -> bool:
    """Something of this run is undelivered, or it has not ended. Imports no MLflow."""
    state = load_delivery(folder)
    if state.get("status") != "delivered" or state.get("tracking_uri") != record.tracking_uri:
        return True
    return bool(outstanding(folder))


def _deliver(wanted: list[Path], options: dict[str, str]) -> dict[Path, str]:
    """Deliver the folders; texts about those that could not be taken on."""
    if options["close"] == "true":
        for folder in wanted:
            _close(folder)
    again = options["again"] == "true"
    return late.deliver(wanted, float(options["timeout"]), options["uri"] or None, again=again)


def _close(folder: Path) -> None:
    """Close a run without an end, unless its process is known to live."""
    with suppress(OSError):
        if closing.writer_alive(folder, RunRecord.load(folder)) is not True:
            closing.close(folder)


def _line(folder: Path, record: RunRecord, tried: bool, problem: str) -> tuple[str, bool]:
    """What to say about a folder, and whether all is well with it."""
    state = load_delivery(folder)
    left = outstanding(folder)
    name = folders.label(folder)
    if record.tracking_uri is None and not state:
        return f"{name}: not tracked (tracking=none); uri=... delivers it", True
    if not (folder / journal.FILE_NAME).is_file():
        return f"{name}: never began, nothing to deliver", True
    amounts = ", ".join(f"{count} {what}" for what, count in left.items())
    if problem:
        return f"{name}: {problem}", not left
    if state.get("status") == "delivered" and not left:
        hint = f" ({state['error']})" if state.get("error") else ""
        verb = "delivered" if tried else "was delivered"
        return f"{name}: {verb} as {state['run_id']}{hint}", True
    if not left and state.get("run_id"):
        known = closing.writer_alive(folder, record) is not None
        hint = "" if known else " or ran on another machine: close=true closes it"
        return f"{name}: delivered so far as {state['run_id']}; it has not ended{hint}", True
    return f"{name}: UNDELIVERED {amounts}: {state.get('error') or 'unknown reason'}", False


if __name__ == "__main__":
    sys.exit(main())

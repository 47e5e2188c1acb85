"""Deliver runs to the tracking store that it does not hold yet.

    python -m src.sync                        everything below outputs/
    python -m src.sync FOLDER ...             these runs or sweeps, also copied from another machine

A run whose process is gone without an end is closed as KILLED first. May be called as often as one
likes: what the store holds is not doubled.
"""

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path

from src.errors import EXIT_FAILED, EXIT_USER_ERROR, UserError
from src.tracking import closing, journal
from src.tracking.outstanding import load_delivery, outstanding
from src.tracking.record import FILE_NAME, RunRecord

KEYS = {
    "outputs": "root of all that training wrote (default: outputs)",
    "uri": "deliver to this store instead of the one each run names",
    "again": "true: deliver from the start once more, e.g. into a store restored from a backup",
    "close": "true: close runs without an end even if their process ran on another machine",
    "timeout": "seconds to go on for at most (default: 600)",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    try:
        folders, options = _parse(arguments)
        return _sync(folders, options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR


def _parse(arguments: list[str] | None) -> tuple[list[Path], dict[str, str]]:
    keys = "\n".join(f"  {key}=...  {text}" for key, text in KEYS.items())
    parser = argparse.ArgumentParser(
        prog="python -m src.sync",
        description=__doc__,
        epilog=f"settings:\n{keys}\n\nExit codes: 0 delivered, 1 something isn't, 2 wrong input",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="FOLDER or key=value")
    options, names = {"outputs": "outputs", "timeout": "600"}, []
    for word in parser.parse_args(arguments).words:
        key, separator, value = word.partition("=")
        if separator and key in KEYS:
            options[key] = value
        elif separator and not Path(word).exists() and "/" not in key:
            raise UserError(f"unknown setting {key!r}: allowed are {', '.join(KEYS)}")
        else:
            names.append(word)
    for key in ("again", "close"):
        if options.setdefault(key, "false") not in ("true", "false"):
            raise UserError(f"{key}={options[key]}: allowed are true and false")
    try:
        if float(options["timeout"]) <= 0:
            raise ValueError
    except ValueError:
        raise UserError(f"timeout={options['timeout']}: give seconds, more than 0") from None
    outputs = Path(options["outputs"])
    return _folders(names, outputs), options


def _folders(names: list[str], outputs: Path) -> list[Path]:
    """Run folders to deliver, sweeps before their children."""
    if not names:
        if not outputs.is_dir():
            raise UserError(f"outputs={outputs} is not a folder: nothing was trained there")
        roots = [p for kind in ("runs", "sweeps") for p in sorted((outputs / kind).glob("*"))]
    else:
        roots = [_find(name, outputs) for name in names]
    found: dict[Path, None] = {}
    for root in roots:
        if (root / FILE_NAME).is_file():
            parent = root.parent
            if (parent / FILE_NAME).is_file():  # a child's run hangs on its sweep's
                found[parent.absolute()] = None
            found[root.absolute()] = None
        for child in sorted(
            root.glob(f"*/{FILE_NAME}"), key=lambda path: path.parent.name.zfill(9)
        ):
            found[child.parent.absolute()] = None
    return list(found)


def _find(name: str, outputs: Path) -> Path:
    """A folder, or the id of a run or sweep below `outputs`."""
    for path in (Path(name), outputs / "runs" / name, outputs / "sweeps" / name):
        if (path / FILE_NAME).is_file() or any(path.glob(f"*/{FILE_NAME}")):
            return path
    raise UserError(f"{name} is no run: give a folder that holds {FILE_NAME}, or a run's id")


def _sync(folders: list[Path], options: dict[str, str]) -> int:
    records = {folder: RunRecord.load(folder) for folder in folders}
    wanted = [
        folder
        for folder in folders
        if (options.get("uri") or records[folder].tracking_uri)
        and (options["again"] == "true" or "uri" in options or _needs(folder, records[folder]))
    ]
    problems: dict[Path, str] = {}
    if wanted:
        problems = _deliver(wanted, options)
    code = 0
    for folder in folders:
        text, good = _line(folder, records[folder], folder in wanted, problems.get(folder, ""))
        print(text)
        code = code if good else EXIT_FAILED
    if not folders:
        print("no runs here")
    return code


def _needs(folder: Path, record: RunRecord) -> bool:
    """Something of this run is undelivered, or it has not ended. Imports no MLflow."""
    state = load_delivery(folder)
    if state.get("status") != "delivered" or state.get("tracking_uri") != record.tracking_uri:
        return True
    return bool(outstanding(folder))


def _deliver(folders: list[Path], options: dict[str, str]) -> dict[Path, str]:
    """Deliver `folders`; texts about those that could not be taken on."""
    from src.tracking.drain import FINISH_GRACE, drain
    from src.tracking.pump import Pump  # imports MLflow: more than a second

    pump = Pump(report=lambda event: None)
    for folder in folders:
        if options["close"] == "true":
            _close(folder)
        pump.add(folder, options.get("uri"), look_for_run=True)
        if options["again"] == "true" and folder in pump.active:
            pump.active[folder].restart()
    deadline = time.monotonic() + float(options["timeout"])
    drain(pump, deadline, FINISH_GRACE, await_writers=False)
    return dict(pump.waiting)


def _close(folder: Path) -> None:
    """Close a run without an end, unless its process is known to live."""
    with suppress(OSError):
        if closing.writer_alive(folder, RunRecord.load(folder)) is not True:
            closing.close(folder)


def _line(folder: Path, record: RunRecord, tried: bool, problem: str) -> tuple[str, bool]:
    """What to say about a folder, and whether all is well with it."""
    state = load_delivery(folder)
    left = outstanding(folder)
    name = f"{folder.name if record.parent is None else f'{folder.parent.name}/{folder.name}'}"
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

"""The long form of the promises: `make torture`, or `python -m tests.torture [key=value ...]`.

Kills, faults and damage by the hundred, and one table of survived / tried for each promise. Exits 1
when anything was not survived, 130 after Ctrl-C, which prints the table of what was tried by then.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import damage, faults, hostile, kills, malformed, points, starts
from tests.torture.bench import Bench
from tests.torture.forks import Zygote

Trials = Iterator[tuple[str, int, list[str]]]


@dataclass
class Row:
    """A promise: how often it was tried and kept."""

    tried: int = 0
    survived: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


KEYS: dict[str, tuple[float, str]] = {
    "kills": (300, "SIGKILLs at random instants"),
    "real": (12, "of them so many of processes of their own, the others of forks"),
    "every": (1, "try every N-th passing of the crash points"),
    "starts": (50, "simultaneous starts without TensorFlow"),
    "processes": (32, "of each start"),
    "training": (1, "simultaneous starts of forks that train"),
    "own": (8, "processes of their own that train, started at once"),
    "lock": (60, "seconds for which SQLite is locked"),
    "bytes": (40, "places of each file where a byte is damaged"),
    "seed": (0, "of all that is random"),
}


Given = dict[str, float]
SECTIONS: dict[str, Callable[[Bench, Given], Trials]] = {
    "malformed": lambda bench, given: malformed.section(bench),
    "hostile": lambda bench, given: hostile.section(bench),
    "damage": lambda bench, given: damage.section(bench, int(given["bytes"]), int(given["seed"])),
    "faults": lambda bench, given: faults.section(bench, given["lock"]),
    "starts": lambda bench, given: starts.section(
        bench, *(int(given[key]) for key in ("starts", "processes", "training", "own"))
    ),
    "points": lambda bench, given: points.section(bench, int(given["every"])),
    "kills": lambda bench, given: kills.section(
        bench, *(int(given[key]) for key in ("kills", "real", "seed"))
    ),
}


def run(name: str, trials: Trials, table: dict[str, Row]) -> None:
    """Run a section into the table."""
    began = time.monotonic()
    try:
        for promise, tried, problems in trials:
            row = table.setdefault(promise, Row())
            row.tried += tried
            row.survived += 0 if problems else tried
            row.seconds += time.monotonic() - began
            began = time.monotonic()
            row.problems += problems
            for problem in problems:
                print(f"NOT SURVIVED  {promise}: {problem}", flush=True)
    except Exception as error:  # the table says so, and the other sections go on
        row = table.setdefault(f"section {name}", Row())
        row.tried += 1
        row.problems.append(f"{type(error).__name__}: {error}")
        print(f"NOT SURVIVED  section {name}: {row.problems[-1]}", flush=True)


def show(table: dict[str, Row]) -> None:
    """Print it."""
    width = max((len(promise) for promise in table), default=0)
    print(f"\n{'promise':{width}}  survived / tried   seconds")
    for promise, row in table.items():
        print(f"{promise:{width}}  {row.survived:8} / {row.tried:<5}  {row.seconds:8.0f}")
    tried, survived = (
        sum(getattr(row, n) for row in table.values()) for n in ("tried", "survived")
    )
    print(f"{'all':{width}}  {survived:8} / {tried:<5}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    keys = "\n".join(f"  {key}={default:g}  {text}" for key, (default, text) in KEYS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"settings:\n  sections=A,B  only these of {', '.join(SECTIONS)}\n{keys}",
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    given = {key: default for key, (default, _) in KEYS.items()}
    chosen = ""
    for word in parser.parse_args(arguments).words:
        key, _, value = word.partition("=")
        if key == "sections":
            chosen = value
            continue
        try:
            if key not in KEYS or float(value) < 0:
                raise ValueError
            given[key] = float(value)
        except ValueError:
            allowed = ", ".join(("sections", *KEYS))
            print(f"error: {word}: allowed are {allowed}, with a number", file=sys.stderr)
            return 2
    wanted = chosen.split(",") if chosen else list(SECTIONS)
    if not set(wanted) <= set(SECTIONS):
        print(f"error: sections={chosen}: choose from {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has them ignored
        signal.signal(number, signal.default_int_handler)
    table: dict[str, Row] = {}
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    code = 0
    try:
        with Zygote(folder / "zygote") as zygote:
            bench = Bench(zygote, folder)
            for name in wanted:
                run(name, SECTIONS[name](bench, given), table)
    except KeyboardInterrupt:
        code = 130
    finally:
        if table:
            show(table)
        shutil.rmtree(folder, ignore_errors=True)
    return code or int(any(row.problems for row in table.values()))


if __name__ == "__main__":
    sys.exit(main())

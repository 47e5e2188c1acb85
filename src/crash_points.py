"""Named places in the writing paths where a test kills this process, as nothing else would.

    CRASH_POINT=checkpoint.flushed:2 python -m src.train      killed when it is there the 2nd time

Each name stands at exactly one place of `src` (a test holds the two against each other). Without
the variable a passing is a call of an empty function, 50 ns; a save of a checkpoint has about ten.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping

VARIABLE = "CRASH_POINT"

# In the order in which a run passes them.
TRAINING = (
    "claim.files",  # the configuration stands in the folder, its record not yet
    "claim.written",  # the record is on disk under another name
    "claim.linked",
    "journal.opened",
    "journal.append",  # before the line is written
    "journal.appended",
    "journal.flush",
    "journal.flushed",
    "checkpoint.aside",  # the folder aside is there, empty
    "checkpoint.opened",  # one of its files is there, empty
    "checkpoint.written",  # and is on disk
    "checkpoint.flushed",  # the whole folder aside is on disk
    "checkpoint.replaced",  # a damaged one of the same update is out of the way
    "checkpoint.renamed",
    "checkpoint.prune",  # before an old one is removed
    "checkpoint.pruned",
    "checkpoint.damaged",  # before a damaged one is set aside
    "artifact.written",  # its line is not in the journal yet
    "model.exported",  # aside
    "model.renamed",
)
SWEEP = ("sweep.claimed", "sweep.results", "sweep.ended")
DELIVERY = (
    "store.drafted",  # the new database is whole, under another name
    "store.linked",
    "run.create",  # delivery.json says that a run is about to be made
    "run.created",
    "delivery.send",
    "delivery.answered",  # the store's client has answered; the cursor stands where it stood
    "store.commit",
    "store.committed",
    "json.written",  # delivery.json, under another name
    "json.renamed",
    "upload.drafted",
    "upload.renamed",
    "model.send",
    "model.opened",  # the store knows of the model, and has none of its files
    "model.answered",
    "ending.files",  # pictures and tables are uploaded, the status is not told
)
NAMES = (*TRAINING, *SWEEP, *DELIVERY)


def unarmed(name: str) -> None:
    """Nothing is to happen at `name`."""


def armed(where: str) -> Callable[[str], None]:
    """What kills this process at `where`, which is NAME:N: the N-th passing (from 1) of NAME.

    Raises:
        ValueError: there is no such point; one that never comes would make a test pass in vain.
    """
    name, _, number = where.partition(":")
    if name not in NAMES or not number.isdecimal() or int(number) < 1:
        raise ValueError(
            f"{VARIABLE}={where}: NAME:N is wanted, N from 1 and NAME one of {', '.join(NAMES)}"
        )
    passings: Counter[str] = Counter()

    def kill(passed: str) -> None:
        passings[passed] += 1
        if passed == name and passings[name] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def chosen(environment: Mapping[str, str]) -> Callable[[str], None]:
    """What the variable asks for; SystemExit with a message when that is no crash point."""
    if VARIABLE not in environment:
        return unarmed
    try:
        return armed(environment[VARIABLE])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


passing = chosen(os.environ)

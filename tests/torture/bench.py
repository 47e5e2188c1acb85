"""What the trials share: a zygote, a prepared store, and a run that was never killed."""

import contextlib
import functools
import itertools
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from src.engine import checkpoint
from src.tracking import journal, sqlite_file
from src.tracking.outstanding import FILE_NAME as DELIVERY
from src.tracking.record import FILE_NAME
from tests.torture.facts import Facts, differences, facts, undelivered
from tests.torture.forks import Ended, Zygote
from tests.torture.zygote import passings

# Three updates an epoch, the last of 4 rows; what a kill could harm: dropout's and Adam's state.
TINY = (
    *("data=random", "data.rows=20", "data.features=3", "data.classes=4", "data.batch_size=8"),
    *("data.validation_rows=7", "data.test_rows=5", "model.hidden=[5]", "model.dropout=0.4"),
    *("optimizer=adam", "schedule=cosine", "epochs=2", "jit=false"),
    "checkpoint.every_seconds=1e-6",
)

BUSY_SECONDS = 60.0  # that a shipper alone may take on a busy machine


@dataclass
class Bench:
    """Makes folders for trials below `folder`, and says what is wrong with what is in them."""

    zygote: Zygote
    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def outputs(self, database: bool = True) -> Path:
        """A new outputs folder, with an empty store or without one."""
        outputs = self.folder / f"outputs-{next(self._numbers)}"
        outputs.mkdir()
        if database:
            shutil.copyfile(self.database, outputs / "mlflow.db")
        return outputs

    @functools.cached_property
    def database(self) -> Path:
        """An empty store."""
        path = self.folder / "prepared.db"
        sqlite_file.prepare(path)
        return path

    def train(self, outputs: Path, *overrides: str, **given: object) -> Ended:
        """`python -m src.train ... resume=auto`."""
        words = [*overrides, f"outputs={outputs}", "resume=auto"]
        return self.zygote.run("src.train", *words, **given)

    @functools.cached_property
    def tiny(self) -> "Reference":
        """The run of `TINY`, one update a call, not killed, and what points it passed."""
        return self.reference(*TINY, one_by_one=True)

    def reference(self, *overrides: str, **given: object) -> "Reference":
        """A run that was never killed."""
        outputs = self.outputs()
        path = outputs / "passings"
        ended = self.train(outputs, *overrides, passings=path, **given)
        [run] = runs(outputs)
        problems = undelivered(run, outputs / "mlflow.db")
        assert ended.code == 0, ended.said
        assert problems == [], problems
        return Reference(overrides, run, facts(run), passings(path))

    def go_on(self, outputs: Path, reference: "Reference", sabotage: str = "") -> list[str]:
        """Resume the run in `outputs`, deliver it, and say what differs from `reference`."""
        found = runs(outputs)
        begun = [run for run in found if (run / journal.FILE_NAME).exists()]
        if not begun or facts(begun[-1]).status != "FINISHED":
            ended = self.train(outputs, *reference.overrides, sabotage=sabotage)
            if ended.code != 0:
                return [f"the resumed run exits with {ended.code}: {ended.said[-600:]}"]
        return self.compare(outputs, reference)

    def compare(self, outputs: Path, reference: "Reference") -> list[str]:
        """Deliver the one run in `outputs`, and say what differs from `reference`."""
        ended = self.sync(f"outputs={outputs}", "timeout=60")
        if ended.code != 0:
            return [f"sync exits with {ended.code}: {ended.said[-600:]}"]
        found = runs(outputs)
        if len(found) != 1:
            return [f"there are {len(found)} runs"]
        return differences(facts(found[0]), reference.facts) + undelivered(
            found[0], outputs / "mlflow.db"
        )

    def sync(self, *words: str) -> Ended:
        """Deliver; again, while the shipper of a process that was killed is still at it."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            ended = self.zygote.run("src.sync", *words)
            if (
                "is being delivered by another process" not in ended.said
                or time.monotonic() > until
            ):
                return ended

    @contextlib.contextmanager
    def clean(self, outputs: Path) -> Iterator[None]:
        """Remove `outputs` afterwards: hundreds of trials would fill the disk."""
        yield
        shutil.rmtree(outputs, ignore_errors=True)


@dataclass(frozen=True)
class Reference:
    """A run that was not killed."""

    overrides: tuple[str, ...]
    folder: Path
    facts: Facts
    passings: Counter[str]

    def undelivered_copy(self, folder: Path) -> Path:
        """A copy of its folder, as one that was trained where there is no network."""
        shutil.copytree(self.folder, folder)
        (folder / DELIVERY).unlink()
        return folder


def runs(outputs: Path) -> list[Path]:
    """The folders of the runs that were claimed, oldest first."""
    return sorted(path.parent for path in outputs.glob(f"runs/*/{FILE_NAME}"))


def damaged(outputs: Path) -> list[str]:
    """The checkpoints that are visible and not whole."""
    problems = []
    for folder in sorted(outputs.glob("runs/*/checkpoints/[0-9]*")):
        try:
            checkpoint.load(folder)
        except checkpoint.CheckpointError as error:
            problems.append(str(error))
    return problems


def results(sweep: Path) -> dict[int, str]:
    """Number to status of the jobs in a sweep's table."""
    rows = json.loads((sweep / "artifacts" / "results.json").read_text(encoding="utf-8"))["rows"]
    return {row["number"]: row["status"] for row in rows}

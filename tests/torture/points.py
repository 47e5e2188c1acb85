"""Crash points: killed at each of them, at each passing, a run goes on bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src import crash_points, resume
from src.engine.checkpoint import Checkpoints
from src.tracking.children import run_of
from src.tracking.record import FILE_NAME
from tests.torture.bench import TINY, Bench, damaged, results, runs
from tests.torture.facts import Facts, differences, facts, undelivered
from tests.torture.forks import KILLED
from tests.torture.zygote import passings
from tests.tracking.runs import Rows

JOURNALS = "sweeps/*/*/journal.jsonl"
SWEEP = ("-m", *TINY, "epochs=1", "tracking.artifacts=light", "seed=1,2")


@dataclass(frozen=True)
class Point:
    """The N-th passing of a crash point in a scenario."""

    scenario: str  # a method of `Points`
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.scenario} {self.name}:{self.number}"


class Points:
    """The scenarios in which points are passed; each returns what is wrong afterwards."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def all(self) -> Iterator[Point]:
        """Every passing of every point."""
        for name, count in sorted(self.bench.tiny.passings.items()):
            yield from (Point("training", name, number) for number in range(1, count + 1))
        yield Point("damaged", "checkpoint.damaged", 1)
        yield Point("replaced", "checkpoint.replaced", 1)
        for name in crash_points.SWEEP:
            yield Point("sweep", name, 1)
        yield Point("sweep", "checkpoint.renamed", 2)  # one job has finished, the other not
        for name, count in sorted(self.delivered().items()):
            yield from (Point("delivery", name, number) for number in range(1, count + 1))
        for name in crash_points.DELIVERY[2:]:  # the store is there already
            yield Point("shipper", name, 1)

    def trial(self, point: Point) -> list[str]:
        """Kill there, go on, and say what is wrong."""
        problems: list[str] = getattr(self, point.scenario)(f"{point.name}:{point.number}")
        return problems

    def training(self, where: str, sabotage: str = "") -> list[str]:
        """A run is killed and goes on; its shipper lives on, and delivers what there is."""
        bench, outputs = self.bench, self.bench.outputs()
        with bench.clean(outputs):
            ended = bench.train(outputs, *TINY, crash=where, one_by_one=True, sabotage=sabotage)
            if ended.code != KILLED:
                return [f"not killed: exit code {ended.code}: {ended.said[-600:]}"]
            return damaged(outputs) + bench.go_on(outputs, bench.tiny, sabotage)

    def shipper(self, where: str, sabotage: str = "") -> list[str]:
        """A run's shipper is killed: the run doesn't mind, and is delivered later."""
        bench, outputs = self.bench, self.bench.outputs()
        with bench.clean(outputs):
            ended = bench.train(outputs, *TINY, crash=where, victim="shipper", sabotage=sabotage)
            if ended.code != 0:
                return [f"the run exits with {ended.code}: {ended.said[-600:]}"]
            if "undelivered" not in ended.said:
                return [f"nothing is said of what is undelivered: {ended.said[-600:]}"]
            return bench.compare(outputs, bench.tiny)

    def damaged(self, where: str) -> list[str]:
        """The newest checkpoint of a killed run is damaged; the run that notices is killed too."""
        bench, outputs = self.bench, self.bench.outputs()
        with bench.clean(outputs):
            bench.train(outputs, *TINY, crash="checkpoint.renamed:3", one_by_one=True)
            [run] = runs(outputs)
            newest = max((run / "checkpoints").glob("[0-9]*/last.safetensors"))
            content = newest.read_bytes()
            newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            ended = bench.train(outputs, *TINY, crash=where)
            if ended.code != KILLED:
                return [f"not killed: exit code {ended.code}: {ended.said[-600:]}"]
            return bench.go_on(outputs, bench.tiny)

    def replaced(self, where: str) -> list[str]:
        """One update is saved twice, differently."""
        folder = self.bench.outputs(database=False)
        problems: list[str] = []
        for crash, wanted in ((where, (1, 2)), ("", (3,))):
            ended = self.bench.zygote.run("tests.torture.save_again", str(folder), crash=crash)
            if (ended.code == KILLED) != bool(crash):
                problems.append(f"exit code {ended.code}: {ended.said[-600:]}")
            newest = Checkpoints(folder).newest(problems.append)
            if newest is None or newest.progress["value"] not in wanted:
                problems.append(f"the newest checkpoint is {newest and newest.progress}")
        return problems

    def sweep(self, where: str) -> list[str]:
        """A sweep is killed and its command given again: each job's run is whole, once.

        Jobs that had finished are not trained again, and what the others had begun goes on.
        """
        bench, outputs = self.bench, self.bench.outputs()
        with bench.clean(outputs):
            ended = bench.train(outputs, *SWEEP, crash=where)
            if ended.code != KILLED:
                return [f"not killed: exit code {ended.code}: {ended.said[-600:]}"]
            before = set((outputs / "sweeps").glob("*"))
            begun = {path: path.stat().st_size for path in outputs.glob(JOURNALS)}
            finished = [path for path in begun if resume.summary_of(path.parent)]
            ended = bench.train(outputs, *SWEEP)
            if ended.code != 0:
                return [f"the second sweep exits with {ended.code}: {ended.said[-600:]}"]
            [newest] = set((outputs / "sweeps").glob("*")) - before  # names order seconds alone
            problems = [
                f"{path} was trained again"
                for path in finished
                if path.stat().st_size != begun[path]
            ]
            if len(list(outputs.glob(JOURNALS))) != 2:
                problems.append("a job has two runs")
            if results(newest) != {0: "FINISHED", 1: "FINISHED"}:
                problems.append(f"the table holds {results(newest)}")
            for job, seed in ((0, 1), (1, 2)):
                run = run_of(newest / str(job))
                assert run is not None
                problems += differences(facts(run), self._job(seed))
                problems += undelivered(run, outputs / "mlflow.db")
            ended = bench.sync(f"outputs={outputs}", "timeout=60")  # of the sweep that was killed
            if ended.code != 0:
                return [f"sync exits with {ended.code}: {ended.said[-600:]}"]
            children = outputs.glob(f"sweeps/*/*/{FILE_NAME}")
            for run in {path.parent for path in children}:
                problems += undelivered(run, outputs / "mlflow.db")
            running = [run for run in Rows(outputs / "mlflow.db").runs() if run[2] == "RUNNING"]
            return problems + [f"{name} is RUNNING in the store" for _, name, _ in running]

    def _job(self, seed: int) -> Facts:
        words = [*TINY, "epochs=1", "tracking.artifacts=light", f"seed={seed}"]
        return self.bench.reference(*words).facts

    def delivered(self) -> dict[str, int]:
        """What points a late delivery passes that makes its store, and how often."""
        path = self.bench.folder / "delivery-passings"
        folder, uri = self._undelivered(database=False)
        self.bench.zygote.run("src.sync", str(folder), f"uri={uri}", passings=path)
        return {n: c for n, c in passings(path).items() if n in crash_points.DELIVERY}

    def delivery(self, where: str, sabotage: str = "", timeout: int = 20) -> list[str]:
        """A late delivery is killed, and asked for again."""
        folder, uri = self._undelivered(database=not where.startswith("store."))
        with self.bench.clean(folder.parents[1]):
            words = (str(folder), f"uri={uri}", f"timeout={timeout}")
            ended = self.bench.zygote.run("src.sync", *words, crash=where, sabotage=sabotage)
            if ended.code != KILLED:
                return [f"not killed: exit code {ended.code}: {ended.said[-600:]}"]
            ended = self.bench.zygote.run("src.sync", *words, sabotage=sabotage)
            if ended.code != 0:
                return [f"sync exits with {ended.code}: {ended.said[-600:]}"]
            return undelivered(folder, Path(uri.removeprefix("sqlite:///")))

    def _undelivered(self, database: bool) -> tuple[Path, str]:
        outputs = self.bench.outputs(database)
        folder = self.bench.tiny.undelivered_copy(outputs / "runs" / self.bench.tiny.folder.name)
        return folder, f"sqlite:///{outputs / 'mlflow.db'}"


def section(bench: Bench, every: int) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, 1, what is wrong) of each point, or of each so many."""
    points = Points(bench)
    for point in list(points.all())[:: max(every, 1)]:
        problems = [f"{point}: {problem}" for problem in points.trial(point)]
        yield f"killed at every crash point: {point.scenario}", 1, problems

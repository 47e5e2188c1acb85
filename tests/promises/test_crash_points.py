"""Killed by a real SIGKILL at a crash point, a run goes on bit for bit and is delivered once.

`make torture` tries every passing of every point; see tests/torture.
"""

from collections.abc import Iterator

import pytest

from src import crash_points
from tests.torture.bench import Bench
from tests.torture.forks import Zygote
from tests.torture.points import Point, Points

SAMPLE = [
    Point("training", "checkpoint.flushed", 2),
    Point("training", "artifact.written", 4),  # the summary says FINISHED, the journal not yet
    Point("delivery", "store.committed", 1),
    Point("delivery", "model.opened", 1),
    Point("replaced", "checkpoint.replaced", 1),
]
# One passing of each other point, where more is at stake than at the others of its name.
MORE = [
    Point("training", "claim.files", 1),
    Point("training", "claim.linked", 1),
    Point("training", "journal.append", 1),
    Point("training", "journal.appended", 1),
    Point("training", "journal.appended", 18),  # the end: nothing is left to do but deliver
    Point("training", "checkpoint.opened", 5),
    Point("training", "checkpoint.renamed", 3),
    Point("training", "checkpoint.prune", 4),
    Point("training", "model.exported", 1),
    Point("damaged", "checkpoint.damaged", 1),
    Point("sweep", "sweep.results", 1),
    Point("delivery", "store.drafted", 1),
    Point("delivery", "run.created", 1),
    Point("delivery", "json.written", 2),
    Point("delivery", "upload.drafted", 1),
    Point("delivery", "ending.files", 1),
    Point("shipper", "delivery.answered", 1),
]


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Points]:
    folder = tmp_path_factory.mktemp("points")
    with Zygote(folder / "zygote") as zygote:
        yield Points(Bench(zygote, folder))


@pytest.mark.parametrize("point", SAMPLE, ids=str)
def test_killed_there_it_goes_on_bit_for_bit_and_is_delivered_once(points, point):
    assert points.trial(point) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", MORE, ids=str)
def test_killed_elsewhere_too(points, point):
    assert points.trial(point) == []


@pytest.mark.slow
def test_every_point_is_among_those_that_torture_tries(points):
    assert {point.name for point in points.all()} == set(crash_points.NAMES)


@pytest.mark.slow
def test_a_fork_computes_what_a_process_of_its_own_does(points, process, tmp_path, only_run):
    from tests.torture.bench import TINY
    from tests.torture.facts import differences, facts

    ended = process(*TINY, f"outputs={tmp_path / 'own'}")
    assert ended.code == 0, ended.err
    assert differences(facts(only_run(tmp_path / "own")), points.bench.tiny.facts) == []

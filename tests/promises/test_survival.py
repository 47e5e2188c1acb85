"""A small sample of `make torture`: what is killed, damaged or refused, and what must not be.

At the end are the negative controls: with the rename, the cursor or a checksum taken out, the very
checks that hold the promises find them broken. See tests/torture.
"""

import dataclasses
import random
from collections.abc import Iterator

import pytest

from src import crash_points
from tests.torture import damage, hostile, kills, malformed, starts
from tests.torture.bench import TINY, Bench
from tests.torture.facts import differences, facts
from tests.torture.faults import Faults
from tests.torture.forks import Zygote
from tests.torture.points import Point, Points
from tests.torture.sabotage import sabotaged

POINTS = [
    Point("training", "checkpoint.flushed", 2),
    Point("delivery", "store.committed", 1),
    Point("replaced", "checkpoint.replaced", 1),
]
# One passing of other points, where more is at stake than at the others of its name.
MORE_POINTS = [
    Point("training", "artifact.written", 4),  # the summary says FINISHED, the journal not yet
    Point("training", "claim.files", 1),
    Point("training", "claim.linked", 1),
    Point("training", "journal.append", 1),
    Point("training", "journal.appended", 18),  # the end: nothing is left to do but deliver
    Point("training", "checkpoint.opened", 5),
    Point("training", "checkpoint.renamed", 3),
    Point("training", "checkpoint.prune", 4),
    Point("training", "model.exported", 1),
    Point("damaged", "checkpoint.damaged", 1),
    Point("sweep", "sweep.results", 1),
    Point("sweep", "checkpoint.renamed", 2),  # one job has finished, the other not
    Point("delivery", "store.drafted", 1),
    Point("delivery", "run.created", 1),
    Point("delivery", "model.opened", 1),
    Point("delivery", "json.written", 2),
    Point("delivery", "upload.drafted", 1),
    Point("delivery", "ending.files", 1),
    Point("shipper", "delivery.answered", 1),
]
MALFORMED = [
    "optimizer.learning_rate=nan",
    "model.hidden=[3,-1]",
    "csv: ragged row",
    "idx: cut off",
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("survival")
    with Zygote(folder / "zygote") as zygote:
        yield Bench(zygote, folder)


@pytest.fixture(scope="module")
def points(bench: Bench) -> Points:
    return Points(bench)


# -- kills


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_killed_there_it_goes_on_bit_for_bit_and_is_delivered_once(points, point):
    assert points.trial(point) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", MORE_POINTS, ids=str)
def test_killed_elsewhere_too(points, point):
    assert points.trial(point) == []


@pytest.mark.slow
def test_every_point_is_among_those_that_torture_tries(points):
    assert {point.name for point in points.all()} == set(crash_points.NAMES)


def test_killed_at_random_instants_and_while_it_resumes(bench):
    trials = kills.Kills(bench, seed=1, short=True)
    for _ in range(5):
        count, problems = trials.chain(2)
        assert problems == []
        if count:
            return
    raise AssertionError("each time the run was over before it was to be killed")


@pytest.mark.slow
def test_a_fork_computes_what_a_process_of_its_own_does(bench, process, tmp_path, only_run):
    ended = process(*TINY, f"outputs={tmp_path / 'own'}")
    assert ended.code == 0, ended.err
    assert differences(facts(only_run(tmp_path / "own")), bench.tiny.facts) == []


# -- starts, faults


def test_processes_started_at_one_moment_on_a_new_store(bench):
    assert starts.start(bench, 4, train=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_more_processes_started_at_one_moment(bench, train):
    assert starts.start(bench, 8 if train else 16, train=train) == []


@pytest.mark.slow
def test_stores_that_fail_while_a_run_trains(bench):
    with Faults(bench) as faults:
        assert faults.killed() == []
        assert faults.refused() == []
        assert faults.locked(3.0) == []


# -- damage, hostile and malformed files


def test_damaged_bytes_are_noticed(bench):
    generator = random.Random(0)
    run, scratch = bench.tiny.folder, bench.folder / "scratch"
    for name in ("manifest.json", "last.safetensors", "best.safetensors"):
        path = max((run / "checkpoints").glob("[0-9]*")) / name
        for offset in damage.offsets(path, 4, generator):
            for kind in damage.KINDS:
                assert damage.checkpoint_damaged(run, scratch, name, kind, offset) == []
    for offset in damage.offsets(run / "journal.jsonl", 4, generator):
        for kind in damage.KINDS:
            assert damage.journal_damaged(run, scratch, kind, offset) == []


@pytest.mark.parametrize("name", hostile.TRIALS)
def test_a_hostile_file_runs_no_code_and_leads_nowhere(bench, tmp_path, name):
    assert hostile.trial(bench, name, tmp_path / "corpus") == []


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_input_is_refused_in_one_line(bench, tmp_path, kind):
    given = malformed.overrides(kind, tmp_path) if ": " in kind else [kind]
    assert malformed.trial(bench, given) == []


def test_torture_has_forty_malformed_inputs():
    assert len({*malformed.CONFIGURATIONS, *malformed.FILES}) == 40


# -- negative controls


def test_without_the_rename_a_checkpoint_is_seen_half_written(points):
    [problem, *_] = points.training("checkpoint.written:6", sabotage="no_rename")
    assert "manifest.json: No such file" in problem


@pytest.mark.slow
def test_with_a_cursor_ahead_of_the_store_a_point_is_lost(points):
    problems = points.delivery("store.commit:2", sabotage="cursor_before_answer")
    assert "the store calls it RUNNING, the journal FINISHED" in problems
    assert points.delivery("store.commit:2") == []


def test_with_a_cursor_that_stays_nothing_is_ever_delivered(points):
    [problem] = points.delivery("delivery.answered:3", sabotage="cursor_never", timeout=1)
    assert problem.startswith("sync exits with 1")


def test_without_digests_damaged_tensors_are_restored(bench):
    run, scratch = bench.tiny.folder, bench.folder / "scratch"
    path = max((run / "checkpoints").glob("[0-9]*/last.safetensors"))
    trial = (run, scratch, path.name, "flipped", path.stat().st_size - 1)
    with sabotaged("no_digest"):
        assert damage.checkpoint_damaged(*trial) == [
            "it was restored as if it were whole (other values)"
        ]
    assert damage.checkpoint_damaged(*trial) == []


def test_without_the_journals_checksum_other_values_are_read(bench):
    run, scratch = bench.tiny.folder, bench.folder / "scratch"
    place = (run / "journal.jsonl").read_bytes().index(b'"train/loss":') + len(b'"train/loss":')
    with sabotaged("no_journal_checksum"):
        assert damage.journal_damaged(run, scratch, "digit", place) == ["other values were read"]
    assert damage.journal_damaged(run, scratch, "digit", place) == []


def test_a_state_that_differs_in_one_bit_is_told(bench):
    expected = bench.tiny.facts
    points = {**expected.points}
    key = min(points)
    points[key] *= 1 + 2**-52
    found = dataclasses.replace(expected, state="0" * 64, points=points)
    assert len(differences(found, expected)) == 2

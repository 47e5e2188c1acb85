"""Which jobs share a program, why others don't, and what happens to a group that can't train."""

import dataclasses
import json

import numpy as np
import pytest

from src import fusion
from src.errors import CannotFuse, UserError
from src.fusion import Group
from src.job import Job
from src.tracking.record import RunRecord


@pytest.fixture
def jobs(configured, tiny, tmp_path):
    """Prepared jobs of a sweep, one for each list of overrides."""

    def make(*overrides: tuple[str, ...] | list[str] | str) -> list[Job]:
        made = []
        for number, own in enumerate(overrides):
            given = tiny(*([own] if isinstance(own, str) else own))
            made.append(Job(configured(*given), list(given), tmp_path, None, tmp_path, number))
        return made

    return make


def numbers(groups: list[Group]) -> list[list[int]]:
    return [[job.number for job in group.jobs] for group in groups]


def test_what_is_a_tensor_may_differ(jobs):
    made = jobs(
        "seed=0",
        "seed=1",
        "optimizer.learning_rate=0.3",
        "schedule=cosine",
        ["schedule=piecewise", "schedule.boundaries=[0.2]", "schedule.values=[1,2]"],
        "name=mine",
        "objective=val/accuracy",
        "tracking.experiment=other",
        "checkpoint.keep=3",
        "optimizer.weight_decay=0.1",
        "early_stopping.patience=2",
        "plateau.factor=0.2",
    )
    [group] = fusion.group(made, 64)
    assert numbers([group]) == [list(range(12))]
    assert group.reason == ""


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(
    "override",
    [
        "model.hidden=[6]",
        "optimizer=momentum",
        "optimizer=adam",
        "loss=mean_squared_error",
        "data.batch_size=4",
        "data.evaluation_batch_size=3",
        "data.seed=1",
        "epochs=2",
        "jit=true",
        "metrics=[]",
        "monitor=train/loss",
        "log_every=1",
        "tracking.artifacts=full",
        "checkpoint.every_seconds=3.0",
    ],
)
def test_what_decides_the_program_or_the_loop_may_not(jobs, override):
    groups = fusion.group(jobs("seed=0", override, "seed=1"), 64)
    assert numbers(groups) == [[0, 2], [1]]
    assert groups[1].reason.startswith("no other job has its ")
    if "=" in override and "." in override:
        assert override.partition("=")[0] in groups[1].reason


def test_groups_are_cut_evenly(jobs):
    made = jobs(*(f"seed={seed}" for seed in range(7)))
    assert numbers(fusion.group(made, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert numbers(fusion.group(made, 4)) == [[0, 1, 2, 3], [4, 5, 6]]
    assert numbers(fusion.group(made, 6)) == [[0, 1, 2, 3], [4, 5, 6]]
    assert numbers(fusion.group(made, 7)) == [list(range(7))]
    assert fusion.group(made, 3)[2].reason == "groups of 3 leave it over"
    assert [len(group.jobs) for group in fusion.group(made, 1)] == [1] * 7


def test_no_jobs_no_groups():
    assert fusion.group([], 64) == []


def test_one_job_alone(jobs):
    [group] = fusion.group(jobs("seed=0"), 64)
    assert group.reason == "there is no other job"


def test_eager_jobs_have_no_program(jobs):
    groups = fusion.group(jobs(["eager=true", "jit=auto"], ["eager=true", "jit=auto", "seed=1"]), 4)
    assert [group.reason for group in groups] == ["eager=true runs without a program"] * 2


def resumed(jobs: list[Job], *folders) -> list[Job]:
    return [
        dataclasses.replace(job, resumed=folder) for job, folder in zip(jobs, folders, strict=True)
    ]


def test_jobs_that_go_on_together_stand_at_the_same_update(jobs, tmp_path, monkeypatch):
    at = {"a": 6, "b": 6, "c": 3, "d": 0}
    monkeypatch.setattr(
        fusion, "_update_of", lambda job: at[job.resumed.name] if job.resumed else 0
    )
    folders = [tmp_path / name if name else None for name in ("a", "b", "c", "d", None, "a")]
    made = resumed(jobs(*(f"seed={seed}" for seed in range(6))), *folders)
    groups = fusion.group(made, 64)
    assert numbers(groups) == [[0, 1], [2], [3, 4], [5]]
    assert groups[1].reason == "it goes on from its own checkpoint"
    assert groups[3].reason == f"another job goes on with {tmp_path / 'a'}"


def test_the_update_that_a_job_goes_on_from(jobs, trained):
    run = trained("epochs=2", "seed=1")
    made = resumed(jobs("seed=0", "seed=1"), None, run.folder)
    assert [fusion._update_of(job) for job in made] == [0, 6]


def test_jobs_with_wrong_values_are_left_out(jobs):
    made = jobs(
        "schedule=warmup_cosine",
        ["schedule=warmup_cosine", "schedule.warmup_updates=1000"],
        ["schedule=cosine", "schedule.final_factor=2"],
        "seed=1",
    )
    sound, factors = fusion.sound(Group(made))
    assert [job.number for job in sound] == [0, 3]
    assert factors.shape == (30 * 3, 2)
    np.testing.assert_array_equal(factors[:, 1], 1.0)
    assert factors[0, 0] == pytest.approx(1 / 9)


@pytest.mark.usefixtures("tensorflow")
def test_wrong_values_of_attributes_are_left_out(jobs):
    made = jobs(
        ["optimizer=adamw", "optimizer.weight_decay=0.1"],
        ["optimizer=adamw", "optimizer.weight_decay=null"],
        ["optimizer=adamw", "optimizer.weight_decay=0.2"],
    )
    assert numbers(fusion.group(made, 64)) == [[0, 1, 2]]
    assert [job.number for job in fusion.sound(Group(made))[0]] == [0, 2]


def test_less_than_two_sound_jobs_are_no_group(jobs):
    made = jobs("seed=0", ["schedule=cosine", "schedule.final_factor=2"])
    with pytest.raises(CannotFuse, match=r"schedule\.final_factor=2"):
        fusion.sound(Group(made))


@pytest.fixture
def sweep_folder(tmp_path):
    """The folder of a sweep over seeds."""
    record = RunRecord(id="sweep", name="sweep", kind="sweep", tags={"sweep.keys": '["seed"]'})
    record.claim(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("error", "shown"), [(UserError("optimizer: wrong"), False), (OSError("no disk"), True)]
)
def test_what_goes_wrong_for_all_is_recorded_for_each(
    jobs, sweep_folder, monkeypatch, capsys, tensorflow, error, shown
):
    from src import training

    def fail(*arguments, **keywords):
        raise error

    monkeypatch.setattr(training, "train", fail)
    made = jobs("seed=3", "seed=4")
    scores = fusion.train(*fusion.sound(Group(made)), force=False)
    assert list(scores) == [0, 1]
    assert all(np.isnan(score) for score in scores.values())
    for number in (0, 1):
        folder = sweep_folder / str(number)
        assert RunRecord.load(folder).name == f"seed={number + 3}"
        summary = json.loads((folder / "artifacts/summary.json").read_text())
        assert summary == {"status": "FAILED", "reason": str(error)}
    captured = capsys.readouterr()
    assert f"2 jobs: failed: {error}" in captured.err
    assert ("Traceback" in captured.err) == shown


def test_a_refusal_leaves_nothing(jobs, sweep_folder, monkeypatch, tensorflow):
    from src import training

    def refuse(*arguments, **keywords):
        raise CannotFuse("too many", members=5)

    monkeypatch.setattr(training, "train", refuse)
    with pytest.raises(CannotFuse, match="too many"):
        fusion.train(*fusion.sound(Group(jobs("seed=3", "seed=4"))), force=False)
    assert [path.name for path in sweep_folder.iterdir()] == ["run.json"]

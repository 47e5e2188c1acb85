"""`hydra/launcher=fused` from the command line: members are full runs, and equal to solo ones."""

import json
import os
import re
import signal

import numpy as np
import pytest
import yaml

from src.engine.fused import FusedProgram
from src.tracking.record import RunRecord

FUSED = "hydra/launcher=fused"


@pytest.fixture
def multirun(command, tmp_path, tiny):
    """Run a sweep in an outputs folder: how it ended, and the folders of its jobs by number."""

    def run(*given, outputs="out", launcher=FUSED):
        before = set(tmp_path.glob(f"work/{outputs}/sweeps/*"))
        ended = command("-m", *tiny(*given), launcher, f"outputs={outputs}")
        [folder] = set(tmp_path.glob(f"work/{outputs}/sweeps/*")) - before
        children = [path for path in folder.iterdir() if path.name.isdigit()]
        return ended, {int(path.name): path for path in children}

    return run


def summary(folder):
    return json.loads((folder / "artifacts/summary.json").read_text())


def groups(outcome):
    """The lines that say which jobs train how."""
    return [line for line in outcome.out.splitlines() if line.startswith(("job ", "jobs "))]


def lines_without_values(journal):
    """What a journal holds, but for the numbers and the time."""
    skipped = ("t", "seq", "values", "process", "tags", "first", "count")
    return [
        {key: value for key, value in line.items() if key not in skipped}
        for line in journal.lines
        if line["kind"] != "updates"  # their lines are as long as a call took
    ]


def test_members_are_what_one_by_one_makes_of_them(multirun, journal_of):
    """Schedules, learning rates and seeds in one program; every file that a run has."""
    swept = (
        "schedule=constant,cosine,exponential,piecewise,warmup_cosine",
        "optimizer.learning_rate=0.3,0.1",
        "seed=0,1",
        "optimizer=adam",
        "epochs=4",
        "tracking.artifacts=light",
    )
    ended, fused = multirun(*swept)
    assert (ended.code, ended.err) == (0, "")
    numbers = ", ".join(map(str, range(8)))
    assert groups(ended) == [f"jobs {numbers}, ... are alike: one program for 20 members"]
    expected_end, alone = multirun(*swept, outputs="alone", launcher="hydra/launcher=basic")
    assert expected_end.code == 0, expected_end.err
    assert sorted(fused) == sorted(alone) == list(range(20))
    for number, folder in fused.items():
        same_run(folder, alone[number], journal_of)
    # The sweeps' tables show the same order of the same jobs, and as good as the same values.
    tables = [outcome.out[outcome.out.index("\nschedule") :] for outcome in (ended, expected_end)]
    jobs = [re.findall(r"^(\w+ +0\.\d +\d) ", table, re.MULTILINE) for table in tables]
    assert len(jobs[0]) == 20
    assert sorted(jobs[0]) == sorted(jobs[1])


def test_members_stop_early_and_learn_slower_each_on_its_own(multirun, journal_of):
    swept = (
        "early_stopping.patience=1,2,null",
        "early_stopping.min_delta=1000",
        "plateau.patience=1",
        "plateau.min_delta=1000",
        "epochs=4",
        "tracking.artifacts=light",
    )
    ended, fused = multirun(*swept)
    assert groups(ended) == ["jobs 0, 1, 2 are alike: one program for 3 members"]
    _, alone = multirun(*swept, outputs="alone", launcher="hydra/launcher=basic")
    for number, epochs in enumerate([2, 3, 4]):
        same_run(fused[number], alone[number], journal_of)
        assert summary(fused[number])["epoch"] == epochs
        assert summary(fused[number])["stopped_early"] == (epochs < 4)
        journal = journal_of(fused[number])
        assert journal.tags["stopped_early"] == str(epochs < 4).lower()
        assert ("test/loss", epochs) in journal.metrics


def same_run(folder, other, journal_of):
    files, expected_files = (
        sorted(str(path.relative_to(parent)) for path in parent.rglob("*") if path.is_file())
        for parent in (folder, other)
    )
    assert files == expected_files
    record, expected_record = RunRecord.load(folder), RunRecord.load(other)
    assert record.name == expected_record.name
    assert record.tags.pop("fused_members") in ("3", "20")
    assert (record.parent, record.dataset) == ("..", expected_record.dataset)
    for values in (record.params, expected_record.params):
        del values["outputs"], values["tracking.experiment"]
    assert record.params == expected_record.params
    assert record.tags.keys() == expected_record.tags.keys()

    found, expected = journal_of(folder), journal_of(other)
    assert lines_without_values(found) == lines_without_values(expected)
    for key, values in expected.updates.items():
        np.testing.assert_allclose(found.updates[key], values, rtol=1e-5, err_msg=key)
    assert found.metrics.keys() == expected.metrics.keys()
    for key, value in expected.metrics.items():
        assert found.metrics[key] == pytest.approx(value, rel=1e-5), key
    assert found.tags.keys() == expected.tags.keys()
    assert found.tags["best_epoch"] == expected.tags["best_epoch"]


def test_a_solo_run_goes_on_from_a_members_checkpoint(multirun, command, journal_of):
    _, short = multirun("seed=0,1", "optimizer=adam", "epochs=2", "model.dropout=0.3")
    folder = short[1]
    resumed = command(f"resume={folder}", "epochs=4")
    assert resumed.code == 0, resumed.err
    _, whole = multirun(
        "seed=0,1", "optimizer=adam", "epochs=4", "model.dropout=0.3", outputs="whole"
    )
    found, expected = journal_of(folder), journal_of(whole[1])
    assert [line["update"] for line in found.kind("begin")] == [0, 6]
    np.testing.assert_allclose(
        found.updates["update/loss"], expected.updates["update/loss"], rtol=1e-5
    )
    assert found.metrics["val/loss", 4] == pytest.approx(expected.metrics["val/loss", 4], rel=1e-5)
    # Before the change of hands all bits are the same.
    np.testing.assert_array_equal(
        found.updates["update/loss"][:6], expected.updates["update/loss"][:6]
    )


@pytest.mark.slow
def test_equal_commands_give_equal_bits(multirun, journal_of):
    swept = ("seed=0,1", "optimizer.weight_decay=0.1,null", "model.dropout=0.3", "epochs=2")
    digests = [
        {number: journal_of(folder).tags["state_sha256"] for number, folder in jobs.items()}
        for _, jobs in (multirun(*swept), multirun(*swept))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) == 4


def test_a_member_whose_loss_overflows_fails_alone(multirun, journal_of):
    swept = ("optimizer.learning_rate=0.1,1e38,0.2", "loss=mean_squared_error", "epochs=3")
    ended, jobs = multirun(*swept)
    assert ended.code == 1
    assert [summary(jobs[number])["status"] for number in range(3)] == [
        "FINISHED",
        "FAILED",
        "FINISHED",
    ]
    failed = journal_of(jobs[1])
    losses = failed.updates["update/loss"]
    assert np.isfinite(losses[:-1]).all()
    assert not np.isfinite(losses[-1])
    assert failed.lines[-1]["update"] == len(losses) < 9
    assert f"learning_rate=1e+38: FAILED: {summary(jobs[1])['reason']}" in ended.out
    assert not list(jobs[1].glob("checkpoints/*"))
    _, good = multirun("optimizer.learning_rate=0.1,0.3,0.2", *swept[1:], outputs="good")
    for number in (0, 2):  # with a good neighbour instead, bit for bit the same
        assert (
            journal_of(jobs[number]).tags["state_sha256"]
            == journal_of(good[number]).tags["state_sha256"]
        )


def test_wrong_values_fail_alone(multirun):
    ended, jobs = multirun(
        "data.batch_size=0,8",
        "schedule=warmup_cosine",
        "schedule.warmup_updates=1,1000,2",
        "epochs=1",
    )
    assert ended.code == 1
    assert groups(ended) == ["jobs 3, 5 are alike: one program for 2 members"]
    statuses = {number: summary(folder)["status"] for number, folder in jobs.items()}
    assert statuses == dict.fromkeys([0, 1, 2, 4], "FAILED") | dict.fromkeys([3, 5], "FINISHED")
    assert summary(jobs[0])["reason"].startswith("data.batch_size=0")
    assert summary(jobs[4])["reason"].startswith("schedule.warmup_updates=1000")
    assert "Traceback" not in ended.err
    assert ended.err.count("failed: ") == 4


def test_groups_larger_than_allowed_are_cut(multirun):
    ended, jobs = multirun("seed=range(5)", "hydra.launcher.max_members=2", "epochs=1")
    assert ended.code == 0, ended.err
    assert groups(ended) == [
        "jobs 0, 1 are alike: one program for 2 members",
        "jobs 2, 3 are alike: one program for 2 members",
        "job 4 trains on its own: groups of 2 leave it over",
    ]
    members = [RunRecord.load(jobs[n]).tags.get("fused_members") for n in range(5)]
    assert members == ["2", "2", "2", "2", None]


@pytest.mark.slow
def test_groups_larger_than_the_memory_are_cut(multirun, monkeypatch):
    from src.engine import suitability

    monkeypatch.setattr(suitability, "free_memory", lambda: 30_000)
    ended, jobs = multirun("seed=range(6)", "epochs=1", "data.evaluation_batch_size=2")
    assert ended.code == 0, ended.err
    said = groups(ended)
    assert said[0] == "jobs 0, 1, 2, 3, 4, 5 are alike: one program for 6 members"
    assert len(said) > 1
    assert "they are divided: 6 members need 0.0 GiB, more than 50% of the free mem" in ended.out
    assert {summary(folder)["status"] for folder in jobs.values()} == {"FINISHED"}


def test_nothing_to_fuse(multirun):
    ended, jobs = multirun("model.hidden=[3],[4],[5]", "epochs=1")
    assert ended.code == 0, ended.err
    assert groups(ended) == ["jobs 0, 1, 2 train one by one: no other job has its model.hidden"]
    assert len(jobs) == 3


@pytest.mark.slow
def test_what_is_slower_fused_is_fused_by_force_alone(multirun, pictures):
    swept = (
        "data=arrays",
        f"data.path={pictures}",
        "model=cnn",
        "model.filters=[2]",
        "seed=0,1",
        "epochs=1",
    )
    ended, jobs = multirun(*swept)
    assert (ended.code, ended.err) == (0, "")
    reason = "Conv2D is slower fused than one by one on a CPU"
    said = f"jobs 0, 1 train one by one: {reason} (hydra.launcher.force=true fuses all the same)"
    assert groups(ended)[1:] == [said]
    assert "fused_members" not in RunRecord.load(jobs[0]).tags
    ended, jobs = multirun(*swept, "hydra.launcher.force=true", outputs="forced")
    assert (ended.code, ended.err) == (0, "")
    assert len(groups(ended)) == 1
    assert RunRecord.load(jobs[0]).tags["fused_members"] == "2"


def test_fewer_than_one_member(command, tiny):
    ended = command("-m", *tiny("seed=0,1"), FUSED, "hydra.launcher.max_members=0", "outputs=out")
    assert ended.code == 2
    assert ended.error == "hydra.launcher.max_members=0: give 1 or more"


def test_a_key_that_does_not_exist(command, tiny):
    ended = command("-m", *tiny("optimizer.nope=1,2"), FUSED, "outputs=out")
    assert ended.code == 1
    assert "Could not override 'optimizer.nope'" in ended.err
    assert "Traceback" not in ended.err


def test_values_taken_from_hydra(multirun):
    ended, jobs = multirun("seed=0,1", "name='number ${hydra:job.num}'", "epochs=1")
    assert ended.code == 0, ended.err
    assert [RunRecord.load(jobs[n]).name for n in (0, 1)] == ["number 0", "number 1"]


@pytest.fixture
def interrupted_once(monkeypatch):
    """The fourth call of a fused program is followed by Ctrl-C."""
    calls = []
    original = FusedProgram.run

    def run(self, *arguments):
        calls.append(arguments)
        losses = original(self, *arguments)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    monkeypatch.setattr(FusedProgram, "run", run)


@pytest.mark.usefixtures("interrupted_once")
def test_interrupted_members_are_saved_and_go_on_together(multirun, journal_of):
    swept = ("seed=0,1,2", "optimizer=adam", "epochs=4", "resume=auto")
    ended, jobs = multirun(*swept)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert len(jobs) == 3
    for folder in jobs.values():
        assert summary(folder)["status"] == "KILLED"
        last = journal_of(folder).lines[-1]
        assert (last["kind"], last["status"]) == ("end", "KILLED")
        saved = [path.name for path in (folder / "checkpoints").iterdir()]
        assert f"{last['update']:08d}" in saved
    ended, _ = multirun(*swept)
    assert ended.code == 0, ended.err
    assert groups(ended) == ["jobs 0, 1, 2 are alike: one program for 3 members"]
    for folder in jobs.values():
        assert ended.out.count(f"resume=auto: {folder} goes on") == 1
    _, whole = multirun("seed=0,1,2", "optimizer=adam", "epochs=4", outputs="whole")
    for number, folder in jobs.items():
        assert summary(folder)["status"] == "FINISHED"
        found, expected = journal_of(folder), journal_of(whole[number])
        np.testing.assert_array_equal(found.updates["update/loss"], expected.updates["update/loss"])
        assert found.metrics == expected.metrics
        assert found.tags["state_sha256"] == expected.tags["state_sha256"]


@pytest.mark.usefixtures("interrupted_once")
def test_what_finished_before_an_interruption_is_not_trained_again(multirun):
    swept = ("seed=0,1", "model.hidden=[2],[3]", "epochs=3", "resume=auto")
    ended, jobs = multirun(*swept)
    assert ended.code == 130
    finished = [folder for folder in jobs.values() if summary(folder)["status"] == "FINISHED"]
    journals = [(folder / "journal.jsonl").read_bytes() for folder in finished]
    assert (len(finished), len(jobs)) == (2, 4)
    ended, again = multirun(*swept)
    assert ended.code == 0, ended.err
    for folder, text in zip(finished, journals, strict=True):
        assert ended.out.count(f"resume=auto: {folder} is finished") == 1
        assert (folder / "journal.jsonl").read_bytes() == text
    assert ended.out.count(" goes on\n") == 2
    assert {summary(folder)["status"] for folder in jobs.values()} == {"FINISHED"}
    assert not any((folder / "run.json").exists() for folder in again.values())
    ended, anew = multirun(*swept)  # that sweep finished: its jobs are trained anew
    assert ended.code == 0, ended.err
    assert all((folder / "run.json").exists() for folder in anew.values())


def test_files_of_a_member(multirun):
    _, jobs = multirun("seed=3,4", "epochs=1", "tracking.artifacts=full")
    folder = jobs[1]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["seed"], config["epochs"]) == (4, 1)
    assert "seed=4" in yaml.safe_load((folder / "overrides.yaml").read_text())
    made = {path.name for path in folder.iterdir()}
    assert made >= {"run.json", "journal.jsonl", "checkpoints", "artifacts", "model"}
    assert (folder / "artifacts/confusion_matrix.json").exists()

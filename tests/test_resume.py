"""Which run `resume=` means, and what may differ when it goes on."""

import json
import math
import os

import pytest
import yaml

from src import resume
from src.errors import UserError
from src.identity import fingerprint
from src.tracking.children import point_to
from src.tracking.record import RunRecord
from src.tracking.tracker import SUMMARY, Tracker


@pytest.fixture
def make_run(configured):
    """A run's folder as a finished, killed or running process leaves it."""
    clock = iter(range(1_000_000_000, 2_000_000_000, 1000))

    def make(folder, *overrides, status=None, mlflow_id=None, ended=True):
        config = configured(*overrides)
        record = RunRecord(
            id=folder.name,
            name="made",
            tags={resume.FINGERPRINT_TAG: fingerprint(config)},
        )
        record.claim(folder)
        os.utime(folder / "run.json", ns=(next(clock),) * 2)
        (folder / resume.CONFIG_FILE).write_text(yaml.safe_dump(config.model_dump(by_alias=True)))
        (folder / resume.OVERRIDES_FILE).write_text(yaml.safe_dump(list(overrides)))
        if status:
            (folder / "artifacts").mkdir()
            (folder / "artifacts" / SUMMARY).write_text(json.dumps({"status": status}))
            tracker = Tracker(folder, record)
            tracker.begin()
            if ended:
                tracker.end(status, "")
            tracker.close()
        if mlflow_id:
            (folder / "delivery.json").write_text(json.dumps({"run_id": mlflow_id}))
        return folder

    return make


# -- find


def test_false_means_a_new_run(configured, make_run, tmp_path):
    make_run(tmp_path / "runs" / "a", status="KILLED")
    assert resume.find(configured("resume=false"), tmp_path) is None


def test_auto_takes_the_newest_run_of_this_configuration_that_is_not_finished(
    configured, make_run, tmp_path
):
    auto = configured("resume=auto")
    assert resume.find(auto, tmp_path) is None
    make_run(tmp_path / "runs" / "b", status="KILLED")
    newer = make_run(tmp_path / "runs" / "a")  # killed with -9: no summary at all
    make_run(tmp_path / "runs" / "c", "seed=5", status="KILLED")  # of another configuration
    assert resume.find(auto, tmp_path) == newer
    failed = make_run(tmp_path / "sweeps" / "s" / "0", status="FAILED")
    assert resume.find(auto, tmp_path) == failed


def test_auto_starts_anew_after_a_finished_run(configured, make_run, tmp_path):
    make_run(tmp_path / "runs" / "a", status="KILLED")
    make_run(tmp_path / "runs" / "b", status="FINISHED")
    assert resume.find(configured("resume=auto"), tmp_path) is None


# -- done


@pytest.fixture
def make_sweep(tmp_path):
    """A sweep's folder, its end recorded unless it was killed."""
    clock = iter(range(2_000_000_000, 3_000_000_000, 1000))

    def make(name, status=None):
        folder = tmp_path / "sweeps" / name
        record = RunRecord(id=name, name=name, kind="sweep")
        record.claim(folder)
        os.utime(folder / "run.json", ns=(next(clock),) * 2)
        with Tracker(folder, record) as tracker:
            tracker.begin()
            if status:
                tracker.end(status, "")
        return folder

    return make


@pytest.mark.parametrize(
    ("status", "taken"), [(None, True), ("KILLED", True), ("FAILED", True), ("FINISHED", False)]
)
def test_what_finished_in_a_sweep_that_did_not_is_done(
    configured, make_run, make_sweep, tmp_path, status, taken
):
    run = make_run(make_sweep("s", status) / "0", status="FINISHED")
    auto = configured("resume=auto")
    assert resume.find(auto, tmp_path) is None
    assert resume.done(auto, tmp_path) == (run if taken else None)
    assert resume.done(configured("seed=5"), tmp_path) is None


@pytest.mark.parametrize("status", ["KILLED", "FAILED"])
def test_what_did_not_finish_is_not_done(configured, make_run, make_sweep, tmp_path, status):
    make_run(make_sweep("s") / "0", status=status)
    assert resume.done(configured("resume=auto"), tmp_path) is None


def test_a_run_of_no_sweep_is_not_done(configured, make_run, tmp_path):
    make_run(tmp_path / "runs" / "a", status="FINISHED")
    assert resume.done(configured("resume=auto"), tmp_path) is None


@pytest.mark.parametrize(("status", "taken"), [(None, True), ("FINISHED", False)])
def test_the_newest_sweep_that_holds_a_run_decides(
    configured, make_run, make_sweep, tmp_path, status, taken
):
    run = make_run(make_sweep("first", "KILLED") / "0", status="FINISHED")
    point_to(run, make_sweep("second", status) / "0")
    assert resume.done(configured("resume=auto"), tmp_path) == (run if taken else None)


def test_the_objective_of_what_is_done(make_run, tmp_path):
    run = make_run(tmp_path / "runs" / "a", status="FINISHED")
    assert math.isnan(resume.objective_of(run))
    (run / "artifacts" / SUMMARY).write_text(json.dumps({"objective_value": 0.5}))
    assert resume.objective_of(run) == 0.5


# -- records that are damaged, runs named otherwise


@pytest.mark.parametrize("broken", ["{", '{"id": "x", "tags": 5}', ""])
def test_another_runs_damaged_record_is_told_once_and_passed_over(
    configured, make_run, tmp_path, capsys, broken
):
    made = make_run(tmp_path / "runs" / "a", status="KILLED")
    (tmp_path / "runs" / "z").mkdir()
    (tmp_path / "runs" / "z" / "run.json").write_text(broken)
    for wanted in ("auto", "a", "auto"):
        assert resume.find(configured(f"resume={wanted}"), tmp_path) == made
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path}/runs/z/run.json ")
    assert line.endswith("passed over (python -m src.doctor sets it aside)")
    with pytest.raises(UserError, match=r"z/run\.json"):
        resume.find(configured("resume=z"), tmp_path)


@pytest.mark.parametrize("went_on", [False, True])
def test_auto_goes_on_with_a_run_killed_before_it_could_write_that_it_is_finished(
    configured, make_run, tmp_path, went_on
):
    killed = make_run(tmp_path / "runs" / "a", status="FINISHED", ended=went_on)
    if went_on:  # it was finished, then resumed for more epochs, and killed
        Tracker(killed, RunRecord.load(killed)).begin()
    assert resume.find(configured("resume=auto"), tmp_path) == killed


def test_a_run_is_found_by_its_id_its_mlflow_id_or_its_folder(
    configured, make_run, tmp_path, monkeypatch
):
    made = make_run(tmp_path / "runs" / "20261123-101500-abc123", mlflow_id="f" * 32)
    make_run(tmp_path / "runs" / "20261123-101501-abc124")
    for wanted in ("20261123-101500-abc123", "f" * 32, str(made)):
        assert resume.find(configured(f"resume={wanted}"), tmp_path) == made
    monkeypatch.chdir(tmp_path)
    found = resume.find(configured("resume=runs/20261123-101500-abc123"), tmp_path / "elsewhere")
    assert found == made


def test_an_unknown_id_is_refused_with_the_newest_ones(configured, make_run, tmp_path):
    for name in "abcd":
        make_run(tmp_path / "runs" / name)
    with pytest.raises(UserError) as raised:
        resume.find(configured("resume=20200101-000000-aaaaaa"), tmp_path)
    text = str(raised.value)
    assert text.startswith("resume=20200101-000000-aaaaaa: neither a run id nor a run's folder")
    assert text.endswith("the newest: d, c, b")
    with pytest.raises(UserError, match=r"none yet$"):
        resume.find(configured("resume=x"), tmp_path / "empty")


# -- going on


def test_the_first_commands_overrides_come_before_those_of_the_resuming_one(make_run, tmp_path):
    folder = make_run(tmp_path / "a", "epochs=3", "optimizer=adam")
    merged = resume.merged_overrides(folder, ["resume=a", "epochs=5"])
    assert merged == ["epochs=3", "optimizer=adam", "epochs=5"]


@pytest.mark.parametrize("content", [None, b"[1, 2", b"\0", b"\xff", b"5", b"a: 1"])
def test_overrides_that_cannot_be_read_are_named(tmp_path, content):
    if content is not None:
        (tmp_path / resume.OVERRIDES_FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"^resume: .*overrides\.yaml can't be read") as raised:
        resume.overrides_of(tmp_path)
    assert "\n" not in str(raised.value)


def test_epochs_and_how_a_run_is_recorded_may_change(configured, make_run, tmp_path):
    folder = make_run(tmp_path / "a", "epochs=3")
    resume.check_same(configured("epochs=5", "tracking=none", "checkpoint.keep=9"), folder)


def test_what_decides_the_result_may_not_and_is_named(configured, make_run, tmp_path):
    folder = make_run(tmp_path / "a", "optimizer.learning_rate=0.5")
    with pytest.raises(UserError) as raised:
        resume.check_same(configured("optimizer.learning_rate=0.25"), folder)
    text = str(raised.value)
    assert text.startswith("optimizer.learning_rate: the run in a has 0.5, this command 0.25;")
    assert "\n" not in text


def test_an_argument_that_is_there_on_one_side_alone_differs_too(configured, make_run, tmp_path):
    folder = make_run(tmp_path / "a")
    with pytest.raises(UserError, match=r"^optimizer\.name: the run in a has None, .* mine"):
        resume.check_same(configured("+optimizer.name=mine"), folder)


@pytest.mark.parametrize("content", [None, b"{", b"\0", b"\xff", b"[1]", b""])
def test_a_configuration_that_cannot_be_read_is_named(configured, tmp_path, content):
    if content is not None:
        (tmp_path / resume.CONFIG_FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"^resume: .*config\.yaml can't be read") as raised:
        resume.check_same(configured(), tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"status": "KILLED"}', {"status": "KILLED"}),
        ("[1]", {}),
        ("{", {}),
        (None, {}),
    ],
)
def test_the_summary_of_a_run_that_was_killed_is_empty(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "artifacts").mkdir()
        (tmp_path / "artifacts" / SUMMARY).write_text(content)
    assert resume.summary_of(tmp_path) == expected

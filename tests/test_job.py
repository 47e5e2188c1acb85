"""One job: what is prepared, claimed and recorded, and that a failure leaves nothing half-done."""

import json

import pytest
import yaml

from src import job
from src.errors import UserError
from src.job import Job
from src.tracking.record import RunRecord


@pytest.fixture
def prepared(composed, tiny, tmp_path):
    """The prepared job of overrides."""

    def make(*overrides, sweep=None, number=0) -> Job:
        given = [f"outputs={tmp_path / 'outputs'}", *tiny(*overrides)]
        return job.prepare(composed(*given), given, sweep, number)

    return make


def test_preparing_makes_no_folder(prepared, tmp_path):
    made = prepared()
    assert made.outputs == tmp_path / "outputs"
    assert (made.resumed, made.sweep) == (None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "in_a_sweep", "expected"),
    [
        ("auto", False, "full"),
        ("auto", True, "light"),
        ("full", True, "full"),
        ("none", False, "none"),
    ],
)
def test_how_much_is_kept(prepared, tmp_path, asked, in_a_sweep, expected):
    made = prepared(f"tracking.artifacts={asked}", sweep=tmp_path if in_a_sweep else None)
    assert made.artifacts == expected


def test_auto_says_what_it_found(prepared, capsys):
    assert prepared("resume=auto").resumed is None
    assert capsys.readouterr().out == (
        "resume=auto: no unfinished run of this configuration; a new one starts\n"
    )


def test_data_and_schedule_are_checked_before_tensorflow_is_needed(prepared):
    config = prepared("epochs=3", "schedule=exponential", "schedule.decay_rate=0.5").config
    dataset, factors = job.load_data(config)
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (20, 7, 5)
    # 20 rows in batches of 8 are 3 updates an epoch, 9 in all.
    assert factors.shape[0] == 9
    assert factors.ravel()[0] == 1
    assert factors.ravel()[8] == pytest.approx(0.5 ** (8 / 9))
    with pytest.raises(UserError, match=r"^loss: "):
        job.load_data(prepared("loss=sparse_categorical_crossentropy").config)


def test_the_claimed_folder_holds_the_record_the_configuration_and_the_overrides(prepared):
    made = prepared("name=mine", "seed=7")
    dataset, _ = job.load_data(made.config)
    tracker = job.claim(made, dataset, {"jit": "false"})
    tracker.close()
    folder = tracker.folder
    assert folder.parent == made.outputs / "runs"
    record = RunRecord.load(folder)
    assert (record.id, record.name, record.kind, record.parent) == (
        folder.name,
        "mine",
        "run",
        None,
    )
    assert record.tags["jit"] == "false"
    assert record.tags["overrides"]
    stored = yaml.safe_load((folder / "config.yaml").read_text())
    assert stored == made.config.model_dump(by_alias=True)
    assert yaml.safe_load((folder / "overrides.yaml").read_text()) == made.overrides
    # Every key but those that are null, flattened as the command line names them.
    assert record.params["seed"] == 7
    assert record.params["optimizer.learning_rate"] == stored["optimizer"]["learning_rate"]
    assert record.params["model.hidden"] == [5]
    assert None not in record.params.values()
    assert record.dataset is not None
    assert record.dataset["digest"] == dataset.digest
    assert {
        key: record.dataset[key]
        for key in ("name", "train_rows", "val_rows", "test_rows", "input_shape", "num_classes")
    } == {
        "name": "random",
        "train_rows": 20,
        "val_rows": 7,
        "test_rows": 5,
        "input_shape": [3],
        "num_classes": 4,
    }


def test_two_claims_are_two_folders(prepared):
    made = prepared()
    dataset, _ = job.load_data(made.config)
    trackers = [job.claim(made, dataset, {}) for _ in range(2)]
    for tracker in trackers:
        tracker.close()
    assert trackers[0].folder != trackers[1].folder


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "outputs" / "sweeps" / "20261123-101500-abc123"
    RunRecord(
        id=folder.name, name="sweep", kind="sweep", tags={"sweep.keys": json.dumps(["seed"])}
    ).claim(folder)
    return folder


def test_a_child_lies_in_its_sweeps_folder_under_its_number(prepared, sweep):
    made = prepared("seed=4", sweep=sweep, number=3)
    assert made.name == "seed=4"
    dataset, _ = job.load_data(made.config)
    job.claim(made, dataset, {}).close()
    record = RunRecord.load(sweep / "3")
    assert (record.id, record.name, record.parent) == (f"{sweep.name}-3", "seed=4", "..")


def test_a_child_that_could_not_start_is_recorded_as_failed(sweep, journal_of):
    error = UserError("seed=-1: input should be greater than or equal to 0")
    job.record_failure(sweep / "3", sweep, "seed=-1", ["seed=-1"], error)
    record = RunRecord.load(sweep / "3")
    assert (record.name, record.params, record.parent) == ("seed=-1", {"seed": "-1"}, "..")
    last = journal_of(sweep / "3").lines[-1]
    assert (last["kind"], last["status"], last["reason"]) == ("end", "FAILED", str(error))
    summary = json.loads((sweep / "3" / "artifacts" / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("FAILED", str(error))


def test_the_record_of_a_child_that_had_started_is_left_as_it_is(sweep):
    RunRecord(id="started", name="started").claim(sweep / "3")
    before = sorted(path.name for path in (sweep / "3").iterdir())
    job.record_failure(sweep / "3", sweep, "seed=-1", [], UserError("late"))
    assert sorted(path.name for path in (sweep / "3").iterdir()) == before
    assert RunRecord.load(sweep / "3").id == "started"

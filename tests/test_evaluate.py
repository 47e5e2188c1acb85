"""Recorded runs are scored anew: equal to what training recorded, and kept with the run."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from src import commands, evaluate
from src.tracking import journal, process
from src.tracking.outstanding import load_delivery
from src.tracking.record import RunRecord
from src.tracking.store import Store
from src.tracking.tracker import Tracker
from tests.tracking.runs import Rows, deliver


@pytest.fixture(scope="module")
def original(train_in, pictures, tmp_path_factory):
    """A run at its best after the first of three epochs."""
    return train_in(
        tmp_path_factory.mktemp("original"),
        "data=arrays",
        f"data.path={pictures}",
        "data.batch_size=8",
        "epochs=3",
        "optimizer.learning_rate=50",
        "schedule=piecewise",
        "schedule.boundaries=[0.34]",
        "schedule.values=[0.001,1]",
    ).folder


@pytest.fixture
def run(original, tmp_path):
    """A copy of the run, to write to."""
    folder = tmp_path / "outputs" / "runs" / original.name
    shutil.copytree(original, folder)
    return folder


@pytest.fixture
def score(run, capsys):
    def call(*words, code=0, name=run):
        found = commands.enter(evaluate.evaluate, [f"run={name}", *words], evaluate.HELP)
        captured = capsys.readouterr()
        assert found == code, captured.err
        if code:
            assert captured.err.count("\n") == 1, captured.err
            return captured.err.removeprefix("error: ").strip()
        return captured.out

    return call


def test_the_scores_are_those_that_training_recorded(score, run, journal_of):
    before = journal_of(run)
    out = score("split=val,test")
    after = journal_of(run)
    new = {key: v for key, v in after.metrics.items() if key not in before.metrics}
    assert new == {
        ("evaluate/val/loss", 1): before.metrics["val/loss", 1],
        ("evaluate/val/accuracy", 1): before.metrics["val/accuracy", 1],
        ("evaluate/test/loss", 1): before.metrics["test/loss", 3],
        ("evaluate/test/accuracy", 1): before.metrics["test/accuracy", 3],
    }
    assert f"{before.metrics['val/loss', 1]:.4f}" in out
    score("checkpoint=last", "split=val")
    assert journal_of(run).metrics["evaluate/val/loss", 3] == before.metrics["val/loss", 3]


def test_a_run_may_be_named_by_its_id_and_scored_again(score, run, journal_of):
    score(f"outputs={run.parents[1]}", name=run.name)
    once = journal_of(run).lines
    score(f"outputs={run.parents[1]}", name=run.name)
    assert journal_of(run).lines == once


def test_the_training_and_all_rows_are_scored_too(score, run, journal_of):
    score("split=train,all")
    metrics = journal_of(run).metrics
    rows = {"train": 20, "val": 7, "test": 5}
    score("split=val,test")
    metrics = journal_of(run).metrics
    mean = sum(metrics[f"evaluate/{name}/loss", 1] * n for name, n in rows.items()) / 32
    assert metrics["evaluate/all/loss", 1] == pytest.approx(mean, rel=1e-5)


def test_other_data_is_scaled_as_the_runs_was_and_named_apart(
    score, run, pictures, tmp_path, journal_of
):
    with np.load(pictures) as arrays:
        np.savez(tmp_path / "later.npz", x=arrays["x_test"], y=arrays["y_test"])
    score("split=all", "data=arrays", f"data.path={tmp_path / 'later.npz'}")
    metrics = journal_of(run).metrics
    [(name, value)] = [
        (key, v) for (key, _), v in metrics.items() if key.startswith("evaluate/later-")
        if key.endswith("/loss")
    ]  # fmt: skip
    assert name.split("/")[2:] == ["all", "loss"]
    # Classes that these rows lack, and figures of their own, would give another value.
    assert value == pytest.approx(metrics["test/loss", 3], rel=1e-6)
    assert str(tmp_path / "later.npz") in journal_of(run).tags.values()


def test_other_divisions_of_the_same_rows_are_named_apart(score, run, pictures, journal_of):
    with np.load(pictures) as arrays:
        np.savez(run / "mine.npz", x=arrays["x_train"], y=arrays["y_train"])
    path = f"data.path={run / 'mine.npz'}"
    score(path, "data.seed=1")
    score(path, "data.seed=2")
    names = {name.split("/")[1] for name, _ in journal_of(run).metrics if "mine" in name}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["splt=val"], "splt: there is no such key; did you mean split?"),
        (["split=validation"], "split=validation: allowed are val, test, train, all"),
        (["checkpoint=newest"], "checkpoint=newest: allowed are best, last"),
        (["split"], "split: give it as split=VALUE"),
        (["split=val", "split=test"], "split: it is given twice"),
        (["data=digts"], "Could not find 'data/digts'"),
        (["data=digits"], "a row of x has shape (8, 8, 1), the run's model takes"),
        (["data.pth=x.npz"], "data.pth: there is no such key; did you mean path?"),
        (["data.path=nowhere.npz"], "data.path=nowhere.npz: no such file or folder"),
        (["data.normalisation=none"], "data.normalisation: other data is scaled as the run's"),
        (["data.seed=a"], "data.seed=a: "),
    ],
)
def test_wrong_input_is_one_short_message_and_writes_nothing(score, run, words, text, journal_of):
    before = (run / journal.FILE_NAME).read_bytes()
    found = score(*words, code=2)
    assert text in found
    assert len(found) < 400
    assert (run / journal.FILE_NAME).read_bytes() == before


def test_an_unknown_run_is_answered_with_the_newest(score, run):
    error = score(f"outputs={run.parents[1]}", name="20200101-000000-abcdef", code=2)
    assert error.endswith(f"the newest: {run.name}")


def test_other_labels_and_classes_are_refused(score, pictures, tmp_path):
    with np.load(pictures) as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    np.savez(tmp_path / "more.npz", x=x, y=y + 1)
    np.savez(tmp_path / "values.npz", x=x, y=y + 0.5)
    path = f"data.path={tmp_path / 'more.npz'}"
    assert "y holds the label 3, the run's model knows the classes 0 to 2" in score(path, code=2)
    path = f"data.path={tmp_path / 'values.npz'}"
    assert "its labels are real, the run was trained on integer ones" in score(path, code=2)


def test_data_that_has_changed_since_is_refused(score, run, pictures, tmp_path):
    with np.load(pictures) as arrays:
        changed = dict(arrays)
    changed["x_val"] = changed["x_val"] + 1
    np.savez(tmp_path / "changed.npz", **changed)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["path"] = str(tmp_path / "changed.npz")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert "is no longer what" in score(code=2)
    score(f"data.path={tmp_path / 'changed.npz'}")  # as other data


def test_no_test_split(score, trained):
    folder = trained("data.test_rows=0", "epochs=1").folder
    assert "split=test: random has no such rows; it has train, val" in score(
        "split=test", name=folder, code=2
    )


def test_a_damaged_checkpoint_is_refused(score, run):
    [newest] = (run / "checkpoints").glob("*9")
    content = bytearray((newest / "best.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "best.safetensors").write_bytes(content)
    error = score(code=2)
    assert "best.safetensors: its content does not match its digest" in error
    assert newest.exists()  # nothing is set aside by who only looks
    shutil.rmtree(run / "checkpoints")
    assert score(code=2).endswith("it has no checkpoint yet")


def unended(run, who):
    """Take the run's end away, and say that it is written by the process `who`."""
    lines = [line for _, line in journal.read(run / journal.FILE_NAME)]
    lines = [line for line in lines if line["kind"] != "end"]
    lines[0]["process"] = who
    content = [journal.encode_line({**line, "seq": seq}) for seq, line in enumerate(lines)]
    (run / journal.FILE_NAME).write_bytes(b"".join(content))


def test_a_run_that_goes_on_is_refused(score, run):
    with Tracker(run, RunRecord.load(run)):
        assert "is being written by another process" in score(code=2)
    unended(run, process.identity())
    assert "is still going on" in score(code=2)
    unended(run, {**process.identity(), "host": "elsewhere"})
    assert "close=true" in score(code=2)


def test_a_run_whose_process_was_killed_is_closed_and_scored(score, run, journal_of):
    unended(run, {**process.identity(), "pid": 2**22 - 1, "pid_started": "b:1"})
    score()
    kinds = [line["kind"] for line in journal_of(run).lines]
    assert kinds[-2:] == ["end", "metrics"]
    assert journal_of(run).kind("end")[0]["status"] == "KILLED"


def test_a_run_from_before_a_key_was_there_is_read_with_its_default(score, run, journal_of):
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["log_every"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "inputs.json").unlink()
    score("data.seed=1")  # its scaling is fitted once more
    assert len([name for name, _ in journal_of(run).metrics if name.startswith("evaluate/")]) == 2


def test_what_is_measured_later_is_delivered_and_changes_no_status(run, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "tracking_uri": uri}))
    deliver(run)
    rows = Rows(tmp_path / "mlflow.db")
    [before] = rows.query("SELECT status, end_time FROM runs")
    run_id = load_delivery(run)["run_id"]
    with Tracker(run, RunRecord.load(run)) as tracker:
        tracker.measured(3, {"evaluate/val/loss": 0.5})
    deliver(run)
    assert rows.query("SELECT status, end_time FROM runs") == [before]
    assert rows.metrics(run_id, "evaluate/val/loss") == [(3, 0.5, 0)]
    assert load_delivery(run)["status"] == "delivered"
    note = Store(uri).client.get_run(run_id).data.tags["mlflow.note.content"]
    assert note.startswith("Finished after 3 epochs")


def test_an_end_and_what_came_after_it_are_delivered_at_once(run, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "tracking_uri": uri}))
    with Tracker(run, RunRecord.load(run)) as tracker:
        tracker.measured(3, {"evaluate/val/loss": 0.5})
    deliver(run)
    rows = Rows(tmp_path / "mlflow.db")
    assert [status for _, _, status in rows.runs()] == ["FINISHED"]
    assert rows.metrics(load_delivery(run)["run_id"], "evaluate/val/loss") == [(3, 0.5, 0)]


@pytest.mark.slow
def test_the_command_delivers_into_the_run_it_scored(process, tiny, tmp_path, root):
    outputs = tmp_path / "outputs"
    trained = process(
        *(word for word in tiny("epochs=2") if not word.startswith("tracking=")),
        "tracking=mlflow",
        f"outputs={outputs}",
        f"tracking.uri=sqlite:///{outputs}/mlflow.db",
    )
    assert trained.code == 0, trained.err
    [folder] = outputs.glob("runs/*")
    run_id = load_delivery(folder)["run_id"]
    done = subprocess.run(
        [sys.executable, "-m", "src.evaluate", f"run={run_id}", f"outputs={outputs}"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert "deliver later" not in done.stdout
    rows = Rows(outputs / "mlflow.db")
    [(step, value, _)] = rows.metrics(run_id, "evaluate/val/loss")
    assert (step, value) in [(s, v) for s, v, _ in rows.metrics(run_id, "val/loss")]


def test_a_part_of_the_rows_is_named_apart(score, run, journal_of):
    for word in ("data.max_rows=2", "data.max_rows=3"):
        score(word, "split=test")
    names = {name for name, _ in journal_of(run).metrics if name.endswith("test/loss")}
    assert len([name for name in names if name.startswith("evaluate/")]) == 2


def test_a_text_that_lacks_characters_is_scored_by_the_numbers_of_the_run(
    trained, tmp_path, capsys, journal_of
):
    (tmp_path / "long.txt").write_text("abcabdcab" * 30)
    (tmp_path / "short.txt").write_text("bcacbcab" * 30)
    (tmp_path / "other.txt").write_text("bcaxbcab" * 30)
    text = ("data=text", "data.length=4", "model=transformer", "model.width=4", "model.heads=2")
    run = trained(*text, f"data.path={tmp_path / 'long.txt'}", "epochs=1")

    def score(name):
        words = [f"run={run.folder}", f"data.path={tmp_path / name}", "split=val"]
        return commands.enter(evaluate.evaluate, words, evaluate.HELP)

    assert score("short.txt") == 0
    assert any(name.startswith("evaluate/short-") for name, _ in journal_of(run.folder).metrics)
    assert score("other.txt") == 2
    assert "doesn't know the class 'x'" in capsys.readouterr().err

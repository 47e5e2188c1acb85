"""What is left of a run: scores and model of the best epoch, not of the last one."""

import json

import numpy as np
import pytest
import tensorflow as tf

from src.engine import state


def forward(values, x):
    """The network with one hidden layer, in NumPy, from the state of a checkpoint."""
    w1, b1, w2, b2 = (value for name, value in sorted(values.items()) if name.startswith("model/"))
    return np.maximum(x.reshape(len(x), -1) @ w1 + b1, 0) @ w2 + b2


@pytest.fixture(scope="module")
def finished(train_in, pictures, tmp_path_factory):
    """A run that was at its best after the first epoch: from there on it is thrown far off."""
    return train_in(
        tmp_path_factory.mktemp("finished"),
        "data=arrays",
        f"data.path={pictures}",
        "data.batch_size=8",
        "epochs=3",
        "optimizer.learning_rate=50",
        "schedule=piecewise",
        "schedule.boundaries=[0.34]",
        "schedule.values=[0.001,1]",
        "tracking.artifacts=full",
    )


def test_scores_and_artifacts_are_of_the_best_epoch(finished, pictures, journal_of, newest_of):
    journal = journal_of(finished.folder)
    validation = [journal.metrics["val/loss", epoch] for epoch in (1, 2, 3)]
    assert validation[0] == min(validation)  # as the test means it to be
    assert finished.best.epoch == 1
    assert journal.tags["best_epoch"] == "1"
    checkpoint = newest_of(finished.folder)

    arrays = np.load(pictures)
    mean, deviation = arrays["x_train"].mean(), arrays["x_train"].std()
    scaled = {split: (arrays[f"x_{split}"] - mean) / deviation for split in ("val", "test")}

    logits = forward(checkpoint.best, scaled["test"])
    right = (logits.argmax(axis=1) == arrays["y_test"]).mean()
    assert journal.metrics["test/accuracy", 3] == pytest.approx(right)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = -np.log(shares[np.arange(5), arrays["y_test"]]).mean()
    assert journal.metrics["test/loss", 3] == pytest.approx(loss, rel=1e-3)
    assert finished.metrics["test/loss"] == journal.metrics["test/loss", 3]

    # Rows are the true classes, columns the predicted ones.
    logits = forward(checkpoint.best, scaled["val"])
    expected = np.zeros((3, 3), int)
    for true, predicted in zip(arrays["y_val"], logits.argmax(axis=1), strict=True):
        expected[true, predicted] += 1
    matrix = json.loads((finished.folder / "artifacts" / "confusion_matrix.json").read_text())
    assert matrix == {"class_names": ["0", "1", "2"], "counts": expected.tolist()}

    loaded = tf.saved_model.load(str(finished.folder / "model"))
    example = np.load(finished.folder / "input_example.npy")
    np.testing.assert_array_equal(example, arrays["x_val"][:5])  # unscaled, as a user has them
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    served = loaded.signatures["serving_default"](tf.constant(example))["predictions"]
    np.testing.assert_allclose(served, shares[:5], rtol=1e-3, atol=1e-5)
    request = json.loads((finished.folder / "request.json").read_text())
    np.testing.assert_array_equal(np.float32(request["inputs"]), example[:1])
    np.testing.assert_allclose(loaded(tf.constant(example[:1])), served[:1], rtol=1e-5)
    [line] = journal.kind("model")
    assert (line["input_shape"], line["output_shape"]) == ([5, 6, 1], [3])
    assert line["metadata"]["epoch"] == 1
    assert line["metadata"]["outputs"] == "softmax"


def test_the_digest_is_of_the_last_state_not_of_the_best(finished, journal_of, newest_of):
    checkpoint = newest_of(finished.folder)
    assert checkpoint.update == 9
    assert journal_of(finished.folder).tags["state_sha256"] == state.sha256(checkpoint.last)
    parts = {name: checkpoint.last[name] for name in checkpoint.best}
    assert state.sha256(parts) != state.sha256(checkpoint.best)


def test_the_summary_says_how_it_ended(finished):
    summary = json.loads((finished.folder / "artifacts" / "summary.json").read_text())
    assert {key: summary[key] for key in ("status", "update", "epoch", "best_epoch")} == {
        "status": "FINISHED",
        "update": 9,
        "epoch": 3,
        "best_epoch": 1,
    }
    assert summary["objective"] == "val/loss"
    assert summary["objective_value"] == finished.best.value
    assert set(summary["metrics"]) == {
        f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "accuracy")
    }


def test_the_journal_ends_with_the_end(finished, journal_of):
    lines = journal_of(finished.folder).lines
    assert lines[0]["kind"] == "begin"
    assert [line["kind"] for line in lines].count("end") == 1
    assert {key: lines[-1][key] for key in ("kind", "status", "update", "epoch")} == {
        "kind": "end",
        "status": "FINISHED",
        "update": 9,
        "epoch": 3,
    }
    listed = {line["path"] for line in lines if line["kind"] == "artifact"}
    folder = finished.folder / "artifacts"
    assert listed == {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_without_a_test_split_there_is_no_test_score(trained, journal_of):
    run = trained("data.test_rows=0", "epochs=1")
    assert {name for name, _ in journal_of(run.folder).metrics} == {
        "train/loss",
        "train/accuracy",
        "val/loss",
        "val/accuracy",
    }


@pytest.mark.parametrize("artifacts", ["none", "light"])
def test_no_model_and_no_pictures_unless_all_is_kept(trained, artifacts, journal_of):
    run = trained("epochs=1", f"tracking.artifacts={artifacts}")
    kept = {path.name for path in (run.folder / "artifacts").iterdir()}
    light = {"config.yaml", "model_summary.txt"} if artifacts == "light" else set()
    assert kept == {"summary.json"} | light
    assert not (run.folder / "model").exists()
    assert journal_of(run.folder).kind("model") == []


def test_real_labels_have_residuals_in_place_of_a_confusion_matrix(trained, tmp_path, journal_of):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "prices.npz", x=generator.random((40, 2)), y=generator.random((40, 2)))
    run = trained(
        "data=arrays",
        f"data.path={tmp_path / 'prices.npz'}",
        "task=regression",
        "model=linear",
        "epochs=2",
        "tracking.artifacts=full",
    )
    assert run.status == "FINISHED"
    assert not (run.folder / "artifacts" / "confusion_matrix.json").exists()
    assert (run.folder / "model" / "saved_model.pb").exists()
    kept = json.loads((run.folder / "artifacts" / "residuals.json").read_text())
    true, predicted = np.array(kept["true"]), np.array(kept["predicted"])
    assert true.shape == predicted.shape == (6, 2)
    # The metrics of the best epoch say the same.
    journal = journal_of(run.folder)
    epoch = run.best.epoch
    absolute = np.abs(true - predicted).mean()
    assert absolute == pytest.approx(journal.metrics["val/mean_absolute_error", epoch], rel=1e-5)
    explained = 1 - ((true - predicted) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)
    assert explained.mean() == pytest.approx(journal.metrics["val/r2_score", epoch], rel=1e-4)


def test_what_failed_is_not_scored(trained, journal_of):
    run = trained("epochs=3", "optimizer.learning_rate=1e38", "loss=mean_squared_error")
    assert run.status == "FAILED"
    journal = journal_of(run.folder)
    assert "state_sha256" not in journal.tags
    assert [line for line in journal.metrics if line[0].startswith("test/")] == []
    assert journal.lines[-1]["status"] == "FAILED"
    summary = json.loads((run.folder / "artifacts" / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("FAILED", run.reason)

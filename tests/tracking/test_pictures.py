import gc
import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.tracking import pictures
from src.tracking.history import History, read_history
from tests.tracking.runs import write_run


@pytest.fixture
def artifacts(tmp_path):
    folder = tmp_path / "artifacts"
    folder.mkdir()
    return folder


def names(paths):
    return [path.name for path in paths]


def test_learning_curves_from_a_journal(tmp_path, artifacts):
    write_run(tmp_path / "a", None)
    history = read_history(tmp_path / "a" / "journal.jsonl")
    [path] = pictures.of_run(history, artifacts)
    assert path == artifacts / "pictures" / "learning_curves.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    figure = pictures._learning_curves(history)
    assert figure is not None
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == ["loss", "loss of every update"]
    train, val = shown[0].get_lines()
    assert np.asarray(train.get_ydata()).tolist() == [1, 1 / 2, 1 / 3]
    assert np.asarray(val.get_ydata()).tolist() == [2, 1, 2 / 3]


def test_the_running_mean_is_centred(artifacts):
    values = np.arange(500, dtype=np.float32)
    history = History(updates={"update/loss": [(1, values[:200]), (201, values[200:])]})
    figure = pictures._learning_curves(history)
    assert figure is not None
    _, mean = figure.axes[0].get_lines()
    steps, means = mean.get_data()
    assert np.abs(means - (np.asarray(steps) - 1)).max() <= 0.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_curves_with_values_that_are_not_finite_are_drawn(artifacts, value):
    history = History(
        metrics={"train/loss": {1: value}, "val/loss": {1: 1.0}},
        updates={"update/loss": [(1, np.full(200, value, np.float32))]},
    )
    assert names(pictures.of_run(history, artifacts)) == ["learning_curves.png"]


def test_nothing_is_drawn_of_nothing(artifacts):
    assert pictures.of_run(History(), artifacts) == []


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_confusion_matrix(artifacts, classes):
    counts = (np.eye(classes, dtype=int) * 9 + 1).tolist()
    counts[0] = [0] * classes  # a class without rows
    content = {"class_names": [f"class {i}" for i in range(classes)], "counts": counts}
    (artifacts / "confusion_matrix.json").write_text(json.dumps(content))
    assert names(pictures.of_run(History(), artifacts)) == ["confusion_matrix.png"]


def test_residuals(artifacts):
    content = {"true": list(range(5000)), "predicted": [1.0] * 4999 + [float("nan")]}
    (artifacts / "residuals.json").write_text(json.dumps(content))
    assert names(pictures.of_run(History(), artifacts)) == ["residuals.png"]


def test_figures_are_not_kept(artifacts):
    history = History(metrics={"train/loss": {1: 1.0, 2: 0.5}})
    for _ in range(3):
        pictures.of_run(history, artifacts)
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Figure)]

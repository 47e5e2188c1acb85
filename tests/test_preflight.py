"""Whether loss and metrics fit the labels, and whether the outputs folder can be written to."""

import os
from typing import Any

import numpy as np
import pytest

from src.data.dataset import Dataset, Split
from src.errors import UserError
from src.preflight import check_labels, check_outputs

LABELS = {
    "integer": np.array([0, 1], np.int32),
    "one_hot": np.eye(2, dtype=np.float32),
    "soft": np.full((2, 2), 0.5, np.float32),
    "real": np.array([[0.5, 1.5], [2.5, 3.5]], np.float32),
}
FITTING = {
    ("sparse_categorical_crossentropy", "integer"),
    ("categorical_crossentropy", "one_hot"),
    ("categorical_crossentropy", "soft"),
    ("mean_squared_error", "one_hot"),
    ("mean_squared_error", "soft"),
    ("mean_squared_error", "real"),
    ("huber", "one_hot"),
    ("huber", "soft"),
    ("huber", "real"),
}
LOSSES = sorted({loss for loss, _ in FITTING})


def dataset(labels: Any) -> Dataset:
    split = Split(np.zeros((2, 3), np.float32), LABELS[labels])
    return Dataset("mine", split, split, None, 2, labels, (), "made up", "0")


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_fits_the_labels_or_is_refused_with_what_would_fit(configured, loss, labels):
    config = configured(f"loss={loss}", "metrics=[]")
    if (loss, labels) in FITTING:
        check_labels(config, dataset(labels))
        return
    with pytest.raises(UserError, match=r"^loss: ") as raised:
        check_labels(config, dataset(labels))
    text = str(raised.value)
    assert "\n" not in text
    assert "mine" in text
    assert labels in text
    mends = [other for other in LOSSES if f"loss={other}" in text]
    assert mends, text
    assert all((mend, labels) in FITTING for mend in mends)  # a mend that does mend


def test_accuracy_needs_classes(configured):
    config = configured("loss=mean_squared_error")
    with pytest.raises(UserError, match=r"^metrics: accuracy needs classes, mine .*real-valued"):
        check_labels(config, dataset("real"))
    check_labels(configured("loss=huber", "metrics=[mean_absolute_error]"), dataset("real"))
    check_labels(config, dataset("one_hot"))


def test_a_loss_of_the_users_own_is_not_judged(configured):
    config = configured("loss._target_=my_losses.Mine", "metrics=[]")
    for labels in LABELS:
        check_labels(config, dataset(labels))


def test_a_new_folder_is_accepted_and_not_made(tmp_path):
    wanted = tmp_path / "a" / "b"
    assert check_outputs(str(wanted)) == wanted
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_as_it_was(tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    assert check_outputs(str(tmp_path)) == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_folder_is_absolute_and_home_is_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_outputs("out") == tmp_path / "out"
    assert check_outputs("~/out") == tmp_path / "out"


@pytest.mark.parametrize("below", ["", "/runs", "/a/b/c"])
def test_a_file_in_the_way_is_named(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError) as raised:
        check_outputs(f"{file}{below}")
    text = str(raised.value)
    assert text.startswith(f"outputs={file}{below}: {file} is not a folder")
    assert text.endswith("choose another outputs=DIR")


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    place = "/proc" if os.geteuid() == 0 else str(tmp_path)  # root may write wherever rights say no
    if place != "/proc":
        tmp_path.chmod(0o555)
    with pytest.raises(UserError, match=f"^outputs={place}/x: {place} can't be written to"):
        check_outputs(f"{place}/x")

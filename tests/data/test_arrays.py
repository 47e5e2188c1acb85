"""data=arrays: what files may hold, and what damaged, hostile and ambiguous ones get."""

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.data import arrays
from src.data.array_labels import Task
from src.data.source import Source
from src.errors import UserError

X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])


def load(path: Path, task: Task = "auto", num_classes: int | None = None) -> Source:
    return arrays.load(path=str(path), task=task, num_classes=num_classes, streaming="auto")


def save_folder(folder, **named):
    folder.mkdir()
    for name, array in named.items():
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.fixture
def save(tmp_path):
    def write(**named):
        np.savez(tmp_path / "file.npz", **named)
        return tmp_path / "file.npz"

    return write


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_npz_with_one_pool_of_rows(tmp_path, writer):
    writer(tmp_path / "pool.npz", x=X, y=Y)
    source = load(tmp_path / "pool.npz")
    np.testing.assert_array_equal(source.train[0], X)
    np.testing.assert_array_equal(source.train[1], Y)
    assert source.val is source.test is None
    assert source.name == "pool"
    assert source.labels == "integer"


def test_npz_with_all_splits(save):
    source = load(
        save(x_train=X, y_train=Y, x_val=X[:2], y_val=Y[:2], x_test=X[:3], y_test=Y[:3], notes=[1])
    )
    sizes = {name: (len(x), len(y)) for name, (x, y) in source.splits().items()}
    assert sizes == {"train": (6, 6), "val": (2, 2), "test": (3, 3)}


def test_folder_of_npy_files(tmp_path):
    source = load(save_folder(tmp_path / "mine", x_train=X, y_train=Y, x_test=X, y_test=Y))
    np.testing.assert_array_equal(source.train[0], X)
    assert isinstance(source.train[0], np.memmap)
    assert source.val is None
    assert source.test is not None
    assert source.name == "mine"


def test_no_path_says_what_to_give():
    with pytest.raises(UserError, match=r"data\.path=FILE\.npz, or a folder"):
        arrays.load(path=None, task="auto", num_classes=None, streaming="auto")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "arrays x_train and y_train are missing"),
        ({"a": X}, "arrays x_train and y_train are missing"),
        ({"x": X}, "array y is missing beside x"),
        ({"y_train": Y}, "array x_train is missing beside y_train"),
        ({"x_train": X, "y_train": Y, "x_val": X}, "array y_val is missing beside x_val"),
        ({"x_test": X, "y_test": Y}, "arrays x_train and y_train are missing"),
        ({"x": X, "y": Y, "x_val": X, "y_val": Y}, "holds both x and x_val"),
        ({"x_train": X, "y_train": Y, "x_valid": X, "y_valid": Y}, "unknown array x_valid"),
    ],
)
@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_missing_and_misnamed_arrays(tmp_path, save, named, message, kind):
    path = save(**named) if kind == "npz" else save_folder(tmp_path / "mine", **named)
    with pytest.raises(UserError, match=f"{path.name}: .*{message}"):
        load(path)


def test_absent_file(tmp_path):
    with pytest.raises(UserError, match=r"data\.path=.*nothing\.npz: no such file or folder"):
        load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x05\x06", pickle.dumps([1])])
def test_other_files_are_no_npz(tmp_path, content):
    path = tmp_path / "table.npz"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"table\.npz: not a \.npz file; write one with numpy\.savez"
    ):
        load(path)


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["npz", "folder", "bare pickle"])
def test_pickles_are_never_loaded(tmp_path, save, kind):
    sprung = tmp_path / "sprung"
    hostile = np.array([Trap(sprung)], dtype=object)
    if kind == "npz":
        path = save(x=hostile, y=Y)
    else:
        path = save_folder(tmp_path / "mine", x=X, y=Y)
        np.save(path / "x.npy", hostile, allow_pickle=True)
    if kind == "bare pickle":
        (path / "x.npy").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UserError, match=r"x.* can't be read \(it holds Python objects, which are"):
        load(path)
    assert not sprung.exists()


def test_an_archive_in_place_of_an_array(tmp_path):
    folder = save_folder(tmp_path / "mine", x=X, y=Y)
    with (folder / "x.npy").open("wb") as file:
        np.savez(file, x=X)
    with pytest.raises(UserError, match="mine: x is not an array"):
        load(folder)


def test_a_pipe_is_not_waited_for(tmp_path):
    folder = save_folder(tmp_path / "mine", y=Y)
    os.mkfifo(folder / "x.npy")
    with pytest.raises(UserError, match="array x is missing"):
        load(folder)


def test_a_header_that_promises_more_than_there_is(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    )
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head.getvalue() + bytes(64))
        archive.writestr("y.npy", head.getvalue() + bytes(64))
    with pytest.raises(UserError, match=r"huge\.npz: array [xy] can't be read"):
        load(path)


def test_an_archive_larger_than_the_memory(save, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1}.get(name, 300))
    with pytest.raises(UserError, match=r"file\.npz: unpacked it takes .* a folder of \.npy files"):
        load(save(x=X, y=Y))


@pytest.mark.parametrize("kind", ["npz", "folder"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_anywhere_is_read_or_refused(tmp_path, kind, data):
    """Truncated and with bytes overwritten: never another error than UserError."""
    folder = tmp_path / kind
    folder.mkdir(exist_ok=True)
    np.savez(folder / "file.npz", x=X, y=Y)
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    path = folder / ("file.npz" if kind == "npz" else "x.npy")
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert load(path if kind == "npz" else folder).splits()


def test_classes_for_regression_are_refused(save):
    with pytest.raises(UserError, match=r"data\.num_classes=3: .*taken as regression"):
        load(save(x=X, y=Y / 7), num_classes=3)

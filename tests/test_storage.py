"""What is said of a disk that takes no more."""

import errno
import os
import shutil

import pytest

from src import storage


@pytest.fixture(autouse=True)
def _little_free(monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1234))


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EFBIG, "the largest size of a file is reached"),
    ],
)
def test_a_refusal_names_the_file_what_is_needed_and_what_is_free(tmp_path, number, what):
    path = tmp_path / "not" / "yet" / "there"
    error = storage.refused(path, OSError(number, os.strerror(number)), 56_789)
    text = f"{path}: {what}: 56,789 bytes are needed, 1,234 are free; make room and go on"
    assert str(error).startswith(text)
    assert error.errno == number
    assert storage.described(error, tmp_path) == str(error)


def test_another_error_keeps_its_own_words(tmp_path):
    error = storage.refused(tmp_path / "a", OSError(errno.EIO, "Input/output error"), 5)
    assert str(error) == f"{tmp_path}/a: Input/output error"


def test_a_plain_error_of_the_system_or_of_tensorflow_is_described(tmp_path):
    plain = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "summary.json"))
    told = storage.described(plain, tmp_path)
    assert told is not None
    assert told.startswith(f"{tmp_path}/summary.json: the disk is full: more is needed, 1,234")
    foreign = RuntimeError("variables.index; No space left on device [Op:SaveV2]")
    told = storage.described(foreign, tmp_path)
    assert told is not None
    assert told.startswith(f"{tmp_path}: the disk is full")


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), ValueError("x"), OSError("y")])
def test_any_other_error_is_not_a_full_disks(tmp_path, error):
    assert storage.described(error, tmp_path) is None

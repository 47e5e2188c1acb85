"""Pictures decoded into a file of pixels: the same rows as in memory, decoded once."""

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.data import image_folder, pixel_file
from src.errors import UserError

SHAPE = (4, 5, 3)
ROWS = 12


@pytest.fixture
def folder(tmp_path):
    """Two classes of six noisy pictures each."""
    numbers = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for row in range(ROWS // 2):
            pixels = numbers.integers(0, 256, (6, 7, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{row}.png")
    return tmp_path / "pictures"


@pytest.fixture
def load(folder, tmp_path):
    def call(**keys):
        given = {
            "path": str(folder),
            "height": SHAPE[0],
            "width": SHAPE[1],
            "channels": SHAPE[2],
            "streaming": True,
            "cache": str(tmp_path / "cache"),
        }
        return image_folder.load(**{**given, **keys})

    return call


def files(folder):
    return sorted(folder.rglob("*.png"))


def write(place, pictures, decode=lambda file: np.full(SHAPE, 7, np.uint8)):
    return pixel_file.open_or_write(place, pictures, SHAPE, partial(map, decode))


def test_the_rows_are_those_of_memory_and_stay_in_a_file(load):
    held, kept = load(streaming=False), load()
    assert isinstance(kept.train[0], np.memmap)
    assert kept.train[0].dtype == held.train[0].dtype == np.uint8
    np.testing.assert_array_equal(kept.train[0], held.train[0])
    np.testing.assert_array_equal(kept.train[1], held.train[1])
    assert (held.streaming, kept.streaming) == (False, True)


def test_each_split_has_its_own_file(load, folder, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(folder, tmp_path / "split" / split)
    (tmp_path / "split" / "val" / "cats" / "0.png").unlink()
    source = load(path=str(tmp_path / "split"))
    assert source.val is not None
    assert (len(source.train[0]), len(source.val[0])) == (ROWS, ROWS - 1)


def test_they_are_decoded_once(load, capsys, monkeypatch):
    load()
    assert f"decodes {ROWS} pictures" in capsys.readouterr().out
    monkeypatch.setattr(image_folder, "_decode", pytest.fail)
    load()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", ["pixels", "size", "name"])
def test_other_pictures_are_decoded_anew(load, folder, change):
    before = np.array(load().train[0])
    first = files(folder)[0]
    if change == "pixels":
        Image.new("RGB", (6, 7), "white").save(first)
    elif change == "name":
        first.rename(first.with_name("9.png"))
    after = load(height=3).train[0] if change == "size" else load().train[0]
    assert after.shape != before.shape or (np.asarray(after) != before).any()


def test_more_pictures_than_are_decoded_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_file, "AT_ONCE", 5)
    numbers = {file: np.full(SHAPE, row, np.uint8) for row, file in enumerate(files(folder))}
    found = write(tmp_path / "cache", files(folder), numbers.__getitem__)
    np.testing.assert_array_equal(found[:, 0, 0, 0], np.arange(ROWS))


def test_an_interrupted_file_is_begun_anew(folder, tmp_path):
    seen = []

    def interrupted(file):
        seen.append(file)
        if len(seen) == ROWS:
            raise UserError("no")
        return np.zeros(SHAPE, np.uint8)

    with pytest.raises(UserError, match="no"):
        write(tmp_path / "cache", files(folder), interrupted)
    assert not list((tmp_path / "cache").glob("*.npy"))
    assert (write(tmp_path / "cache", files(folder)) == 7).all()


def test_a_disk_with_too_little_room_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99))
    with pytest.raises(UserError, match=r"data\.cache=.*are free; make room"):
        write(tmp_path / "cache", files(folder))


@pytest.mark.parametrize(("room", "streams"), [(None, False), (10**9, False), (1000, True)])
def test_by_itself_it_streams_where_memory_is_short(load, room, streams):
    source = load(streaming="auto", room=room)
    assert source.streaming == streams == isinstance(source.train[0], np.memmap)


def test_training_from_the_file_is_training_from_memory(folder, trained, journal_of, tmp_path):
    keys = ("data=image_folder", f"data.path={folder}", "data.height=4", "data.width=5")
    runs = [trained(*keys, f"data.streaming={given}", "epochs=2") for given in ("false", "true")]
    digests = {journal_of(run.folder).tags["state_sha256"] for run in runs}
    assert len(digests) == 1
    assert list((tmp_path / "outputs" / "pixels").glob("*.npy"))

"""data=image_folder: what becomes of pictures, and every way in which a folder may be wrong."""

import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src.data import image_folder
from src.errors import UserError

KEYS: dict[str, Any] = {
    "height": 2,
    "width": 3,
    "channels": 3,
    "streaming": False,
    "cache": "none",
}


@pytest.fixture
def folder(tmp_path):
    """Two classes of two pictures each, of one colour: cats are red, dogs are grey."""
    for name, colour in (("cats", (200, 0, 0)), ("dogs", (90, 90, 90))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 4), colour).save(tmp_path / name / "a.png")
        Image.new("RGB", (9, 6), colour).save(tmp_path / name / "b.JPG", quality=100)
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def load(folder, **keys):
    return image_folder.load(path=str(folder), **{**KEYS, **keys})


def test_pictures_of_any_size_become_one_size(folder):
    source = load(folder)
    x, y = source.train
    assert x.shape == (4, 2, 3, 3)
    assert x.dtype == np.uint8
    assert y.tolist() == [0, 0, 1, 1]
    assert source.class_names == ("cats", "dogs")
    assert np.abs(x[:2].astype(int) - [200, 0, 0]).max() <= 3  # JPEG is not exact
    assert np.abs(x[2:].astype(int) - 90).max() <= 3
    assert source.val is None


def test_grey(folder):
    x, _ = load(folder, channels=1).train
    assert x.shape == (4, 2, 3, 1)
    assert np.abs(x[2:].astype(int) - 90).max() <= 3
    assert np.abs(x[0].astype(int) - 0.299 * 200).max() <= 1  # the luma of ITU-R 601


def test_a_picture_keeps_its_pixels_where_it_has_the_size(tmp_path):
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    np.testing.assert_array_equal(load(tmp_path).train[0][0], pixels)


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((3, 2), np.uint8)
    pixels[0, 1] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it to the right
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png", exif=exif)
    x, _ = load(tmp_path, channels=1).train
    np.testing.assert_array_equal(x[0, :, :, 0], np.rot90(pixels, -1))


def test_folders_of_splits(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    folder.rename(root / "train")
    (root / "test" / "dogs").mkdir(parents=True)
    Image.new("L", (5, 5)).save(root / "test" / "dogs" / "1.png")
    source = load(root)
    assert source.val is None
    assert source.test is not None
    assert source.test[1].tolist() == [1]
    (root / "test" / "birds").mkdir()
    with pytest.raises(UserError, match=r"test/birds: no such class in .*train"):
        load(root)
    (root / "test" / "birds").rmdir()
    (root / "validation").mkdir()
    with pytest.raises(UserError, match=r"validation: beside train/ allowed are val/ and test/"):
        load(root)


def test_a_broken_picture_is_named(folder):
    (folder / "dogs" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(UserError, match=r"dogs/c\.png: can't be read as a PNG or JPEG picture"):
        load(folder)


def test_a_truncated_picture_is_named(folder):
    file = folder / "dogs" / "b.JPG"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"dogs/b\.JPG: can't be read .*(?i:truncated)"):
        load(folder)


def test_a_page_that_only_looks_like_a_picture_is_named(folder):
    Image.new("L", (5, 5)).save(folder / "dogs" / "c.gif")
    (folder / "dogs" / "c.gif").rename(folder / "dogs" / "c.png")
    with pytest.raises(UserError, match=r"dogs/c\.png: can't be read"):
        load(folder)


def test_what_is_wrong_is_named(folder, tmp_path_factory):
    with pytest.raises(UserError, match=r"data\.path: give a folder"):
        image_folder.load(path=None, **KEYS)
    with pytest.raises(UserError, match=r"data\.path=/no/such: no such folder"):
        load("/no/such")
    with pytest.raises(UserError, match=r"0 folders, .*for each class"):
        load(tmp_path_factory.mktemp("empty"))
    (folder / "birds").mkdir()
    with pytest.raises(UserError, match=r"birds: no PNG or JPEG files in it"):
        load(folder)
    (folder / "birds" / "a.webp").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.webp: it is neither PNG nor JPEG"):
        load(folder)


def test_sixteen_bits_keep_their_shades(tmp_path):
    shades = np.array([[0, 257, 32896, 65535]], np.uint16)
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(shades).save(tmp_path / name / "1.png")
    x, _ = load(tmp_path, height=1, width=4, channels=1).train
    assert x[0, 0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transparent_is_white(tmp_path, channels):
    pixels = np.zeros((2, 3, 4), np.uint8)  # black, its right column opaque
    pixels[:, 2, 3] = 255
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    x, _ = load(tmp_path, channels=channels).train
    assert x[0, :, :2].min() == 255
    assert x[0, :, 2].max() == 0


def test_one_class_will_do_for_a_model_that_is_trained(folder):
    shutil.rmtree(folder / "dogs")
    with pytest.raises(UserError, match="1 folders"):
        load(folder)
    assert load(folder, scored=True).class_names == ("cats",)

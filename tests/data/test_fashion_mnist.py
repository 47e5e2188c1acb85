"""data=fashion_mnist reads the four IDX files, and says how to get them when they are absent."""

import gzip
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from src.data import fashion_mnist
from src.data.prepare import prepare
from src.errors import UserError

INSTALLED = Path("/usr/share/datasets/fashion-mnist")
installed = pytest.mark.skipif(not INSTALLED.is_dir(), reason="Fashion-MNIST is not installed")


def write(path, array):
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    """The four files with 30 training and 10 test images of 4 x 4 pixels."""
    generator = np.random.default_rng(0)
    for name, rows in (("train", 30), ("t10k", 10)):
        images = generator.integers(0, 256, (rows, 4, 4)).astype(np.uint8)
        write(tmp_path / f"{name}-images-idx3-ubyte.gz", images)
        write(tmp_path / f"{name}-labels-idx1-ubyte.gz", (np.arange(rows) % 10).astype(np.uint8))
    return tmp_path


def test_reads_both_splits(folder):
    source = fashion_mnist.load(path=str(folder))
    shapes = {name: x.shape for name, (x, _) in source.splits().items()}
    assert shapes == {"train": (30, 4, 4, 1), "test": (10, 4, 4, 1)}
    assert source.splits()["test"][1].tolist() == list(range(10))
    assert source.class_names[9] == "Ankle boot"


def test_plain_files_do_too(folder):
    compressed = folder / "train-images-idx3-ubyte.gz"
    compressed.with_suffix("").write_bytes(gzip.decompress(compressed.read_bytes()))
    before = fashion_mnist.load(path=str(folder)).train[0]
    compressed.unlink()
    np.testing.assert_array_equal(fashion_mnist.load(path=str(folder)).train[0], before)


def test_absent_files_come_with_directions(tmp_path):
    with pytest.raises(UserError) as error:
        fashion_mnist.load(path=str(tmp_path / "nowhere"))
    message = str(error.value)
    assert "\n" not in message
    for part in ("data.path=", "nowhere", "train-images-idx3-ubyte.gz", "dataset-fashion-mnist"):
        assert part in message


def test_one_absent_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"no file t10k-labels-idx1-ubyte\.gz"):
        fashion_mnist.load(path=str(folder))


def test_labels_that_belong_to_other_images_are_refused(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-labels-idx1-ubyte.gz").rename(folder / "train-labels-idx1-ubyte.gz")
    with pytest.raises(UserError, match="10 labels for the 30 images"):
        fashion_mnist.load(path=str(folder))


@installed
def test_the_real_files_are_ready_within_a_few_seconds():
    begin = time.perf_counter()
    dataset = prepare(
        fashion_mnist.load(path=str(INSTALLED)),
        seed=0,
        validation_fraction=0.0833333,
        test_fraction=0.0,
        normalisation="range",
        labels="integer",
    )
    # About 0.6 s on two idle cores; the limit leaves room for a busy machine.
    assert time.perf_counter() - begin < 5
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (55_000, 5_000, 10_000)
    assert dataset.input_shape == (28, 28, 1)
    assert (dataset.train.x.min(), dataset.train.x.max()) == (0, 1)
    for name, each in (("train", 5_500), ("val", 500), ("test", 1_000)):
        assert np.bincount(dataset.splits()[name].y).tolist() == [each] * 10

import numpy as np
import pytest

from src.benchmarks import images
from src.benchmarks.configuration import composed
from src.job import load_data


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(images, "real", lambda: None)


@pytest.mark.usefixtures("absent")
def test_where_the_real_pictures_are_absent_they_are_made_up(tmp_path):
    config = composed((*images.overrides(tmp_path / "work", rows=1_200), "model=mlp"))
    dataset, _ = load_data(config)
    assert dataset.input_shape == (28, 28, 1)
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (1_100, 100, 200)
    assert (dataset.num_classes, dataset.labels) == (10, "integer")
    assert 0 <= dataset.train.x.min() < dataset.train.x.max() <= 1


@pytest.mark.usefixtures("absent")
def test_made_up_pictures_of_a_size_are_written_once_and_equal(tmp_path):
    first = images.file(tmp_path / "a", 600)
    before = first.stat().st_mtime_ns
    assert images.file(tmp_path / "a", 600).stat().st_mtime_ns == before
    second = images.file(tmp_path / "b", 600)
    with np.load(first) as one, np.load(second) as other:
        assert one.files == other.files == ["x_train", "y_train", "x_test", "y_test"]
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].dtype == np.uint8


def test_made_up_classes_can_be_told_apart():
    x, y = images.make(2_000, seed=1)
    means = np.stack([x[y == label].mean(axis=0).ravel() for label in range(10)])
    x_test, y_test = images.make(500, seed=2)
    distances = ((x_test.reshape(500, 1, -1) - means[None]) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == y_test).mean() > 0.99


@pytest.mark.skipif(images.real() is None, reason="Fashion-MNIST is not installed")
def test_the_real_pictures_are_read_where_they_are(tmp_path):
    assert images.overrides(tmp_path)[0] == "data=fashion_mnist"
    with np.load(images.file(tmp_path, 120)) as stored:
        assert stored["x_train"].shape == (120, 28, 28, 1)
        source = images.real()
        assert source is not None
        np.testing.assert_array_equal(stored["x_train"], source.train[0][:120])

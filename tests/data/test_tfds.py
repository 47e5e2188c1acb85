"""data=tfds: prepared folders are found and read, and nothing is asked of the network."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from src import startup
from src.data import tfds
from src.errors import UserError

ROWS = {"train": 5, "validation": 2}


class ClassLabel:
    num_classes = 2
    names = ("cat", "dog")


@pytest.fixture
def package(monkeypatch) -> Any:
    """What stands for the package: it reads a folder as five rows to train and two to validate."""
    features = {"image": object(), "label": ClassLabel(), "weight": object()}
    info = SimpleNamespace(
        features=features,
        supervised_keys=("image", "label"),
        splits=dict.fromkeys(ROWS),
    )

    def as_dataset(split, shuffle_files):
        assert shuffle_files is False
        for row in range(ROWS[split]):
            image = np.full((2, 2, 1), row, np.uint8)
            yield {"image": image, "label": np.int64(row % 2), "weight": np.float32(row / 2)}

    module: Any = ModuleType("tensorflow_datasets")
    module.__spec__ = SimpleNamespace(name="tensorflow_datasets")
    module.read = []
    module.features = SimpleNamespace(ClassLabel=ClassLabel)
    module.as_numpy = lambda rows: rows
    module.info = info

    def builder_from_directory(folder):
        module.read.append(folder)
        return SimpleNamespace(info=info, as_dataset=as_dataset)

    module.builder_from_directory = builder_from_directory
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    monkeypatch.setattr(startup, "import_tensorflow", lambda: None)
    return module


@pytest.fixture
def prepared(tmp_path):
    """A data set in two versions, and one with two configurations."""
    for place in ("pets/1.9.0", "pets/1.10.0", "text/short/1.0.0", "text/long/1.0.0"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "dataset_info.json").write_text("{}")
    return tmp_path


def load(root, name="pets", inputs=None, target=None):
    return tfds.load(name=name, path=str(root), inputs=inputs, target=target)


def test_the_newest_version_is_read_from_its_files(package, prepared):
    source = load(prepared)
    assert package.read == [prepared / "pets" / "1.10.0"]
    x, y = source.train
    assert x.shape == (5, 2, 2, 1)
    assert x[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert y.tolist() == [0, 1, 0, 1, 0]
    assert (source.labels, source.num_classes) == ("integer", 2)
    assert source.class_names == ("cat", "dog")
    assert source.val is not None
    assert len(source.val[0]) == 2
    assert source.test is None


@pytest.mark.parametrize("name", ["pets/1.9.0", "text/long", "text/long/1.0.0"])
def test_a_version_or_configuration_can_be_named(package, prepared, name):
    load(prepared, name)
    assert str(package.read[0].relative_to(prepared)).startswith(name)


def test_other_features_can_be_named(package, prepared):
    source = load(prepared, target="weight")
    assert source.labels == "real"
    assert source.train[1].tolist() == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": None}, r"data\.name: give a data set below"),
        ({"name": "mnist"}, r"data\.name=mnist: it is not prepared in .*; there are pets, text\. "),
        ({"name": "../pets"}, r"data\.name=\.\./pets: give NAME"),
        ({"name": "text"}, r"data\.name=text: .*choose text/long, text/short"),
        ({"inputs": "picture"}, r"data\.inputs=picture: .*choose from image, label, weight"),
    ],
)
@pytest.mark.usefixtures("package")
def test_what_is_wrong_is_named(prepared, keys, message):
    with pytest.raises(UserError, match=message):
        load(prepared, **keys)


def test_a_data_set_that_does_not_say_what_is_learnt(package, prepared):
    package.info.supervised_keys = None
    with pytest.raises(UserError, match=r"data\.inputs: the data set doesn't say which"):
        load(prepared)


def test_damaged_files_are_named(package, prepared, monkeypatch):
    def fail(folder):
        raise RuntimeError("truncated record\nat 7")

    monkeypatch.setattr(package, "builder_from_directory", fail)
    with pytest.raises(UserError, match=r"pets/1\.10\.0: .*can't read it \(truncated record\)$"):
        load(prepared)


def test_without_the_package_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"data=tfds: .*pip install 'tensorflow-datasets"):
        load(tmp_path)

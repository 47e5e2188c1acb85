"""The `data` node of the configuration: what goes to the source, what to the preparation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from src.data.load import load
from src.data.source import Source
from src.errors import UserError
from src.targets import bind, locate

COMMON = {
    "batch_size": 64,
    "evaluation_batch_size": 64,
    "seed": 0,
    "validation_fraction": 0.15,
    "test_fraction": 0.15,
    "normalisation": "range",
    "labels": "integer",
}
RANDOM = {
    "_target_": "src.data.random.load",
    "rows": 5,
    "features": 2,
    "classes": 3,
    "validation_rows": 2,
    "test_rows": 0,
    **COMMON,
    "labels": "as_is",
}
ABSENT = "src.data.arrays.load"


def test_digits_by_configuration():
    dataset = load({"_target_": "src.data.digits.load", **COMMON}, seed=0)
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (1257, 270, 270)
    assert dataset.input_shape == (8, 8, 1)
    assert dataset.labels == "integer"
    assert (dataset.train.x.min(), dataset.train.x.max()) == (0, 1)


def test_the_seed_reaches_sources_that_draw():
    first, again, other = (load(RANDOM, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest


def of_users_own(rows: int) -> Source:
    x = np.zeros((rows, 2))
    y = np.arange(rows) % 2
    return Source("own", (x, y), None, None, "integer", None, ("no", "yes"), "made here")


def no_source() -> int:
    return 1


def no_file() -> Source:
    return np.load("/nowhere/at/all.npy")


def test_a_source_of_the_users_own():
    dataset = load({"_target_": f"{__name__}.of_users_own", "rows": 20, **COMMON}, seed=0)
    assert dataset.name == "own"
    assert dataset.class_names == ("no", "yes")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**RANDOM, "rowz": 5}, r"data\.rowz"),
        ({**RANDOM, "rows": 0}, r"data\.rows=0"),
        ({**RANDOM, "rows": "many"}, r"data\.rows=many"),
        ({**RANDOM, "rows": 10**15}, r"data: .*memory"),
        ({**RANDOM, "labels": "integer"}, r"data\.labels=integer: the labels of uniform random"),
        ({"_target_": "src.data.nothing.load", **COMMON}, r"data\._target_"),
        ({"_target_": f"{__name__}.no_source", **COMMON}, r"it returned int; a data source is"),
        ({"_target_": f"{__name__}.no_file", **COMMON}, r"data: .*/nowhere/at/all\.npy"),
        (
            {
                "_target_": ABSENT,
                "path": None,
                "task": "auto",
                "num_classes": None,
                "streaming": "auto",
                **COMMON,
            },
            r"data\.path: data=arrays needs your file",
        ),
        (
            {
                "_target_": ABSENT,
                "path": "a.npz",
                "task": "guess",
                "num_classes": None,
                "streaming": "auto",
                **COMMON,
            },
            r"data\.task=guess",
        ),
    ],
)
def test_mistakes_name_the_key(config, message):
    with pytest.raises(UserError, match=message) as error:
        load(config, seed=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_beyond_the_generators_key_are_refused(seed):
    with pytest.raises(UserError, match=rf"data\.seed={seed}: allowed are"):
        load(RANDOM, seed=seed)


@pytest.mark.parametrize("path", sorted(Path("conf/data").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_choice_has_the_keys_its_source_takes(path):
    config = yaml.safe_load(path.read_text().replace("${task}", "classification"))
    config.pop("defaults", None)
    assert set(COMMON) < set(config)
    arguments = {key: value for key, value in config.items() if key not in {"_target_", *COMMON}}
    function = locate(config["_target_"], "data._target_")
    offered = {"seed": 0, "validation_fraction": 0.1, "test_fraction": 0.1}
    assert set(bind(function, arguments, key="data", offered=offered)) <= {*arguments, *offered}


def test_data_needs_no_tensorflow():
    program = (
        "import sys, src.data.load, src.data.arrays, src.data.fashion_mnist, src.data.random\n"
        "from src.schedules import constant, cosine, exponential, piecewise, warmup_cosine\n"
        "print({'tensorflow', 'keras', 'mlflow', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr

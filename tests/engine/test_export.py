"""The SavedModel loads in a process that has not this repository."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from src.engine import export
from src.models.cnn import CNN

ELSEWHERE = """
import sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load("saved")
x = np.load("x.npy")
for rows in (1, 4):
    served = model.signatures["serving_default"](tf.constant(x[:rows]))
    np.save(f"y{rows}.npy", served["predictions"])
assert "src" not in sys.modules
try:
    import src
    sys.exit("this test means nothing: src is here")
except ImportError:
    pass
"""


@pytest.fixture
def model(tensorflow):
    keras.utils.set_random_seed(3)
    made = CNN(3, [2], 3, "max_pool", "relu", 0.5, 0.9)
    made(np.zeros((1, 5, 6, 1), np.float32))
    for variable in made.variables:
        if "moving" in variable.path:
            variable.assign(np.full(variable.shape, 0.5, np.float32))
    return made


@pytest.mark.slow
def test_it_predicts_the_same_where_this_repository_is_absent(model, tmp_path):
    x = np.random.default_rng(0).random((4, 5, 6, 1), np.float32)
    export.save(model, (5, 6, 1), tmp_path / "saved")
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = model(x, training=False).numpy()
    for rows in (1, 4):
        found = np.load(tmp_path / f"y{rows}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:rows], rtol=1e-5, atol=1e-6)


def test_half_precision_models_take_and_give_single_precision(tensorflow, tmp_path):
    made = CNN(3, [2], 3, "stride", "relu", 0.0, 0.9, dtype="mixed_bfloat16")
    made(np.zeros((1, 4, 4, 1), np.float32))
    export.save(made, (4, 4, 1), tmp_path / "saved")
    loaded = tensorflow.saved_model.load(str(tmp_path / "saved"))
    [specification] = loaded.signatures["serving_default"].structured_input_signature[1].values()
    assert specification.dtype == tensorflow.float32
    assert specification.shape.as_list() == [None, 4, 4, 1]
    assert loaded(np.ones((2, 4, 4, 1), np.float32)).dtype == tensorflow.float32


def test_it_takes_the_place_of_an_older_one_whole(model, tmp_path):
    folder = tmp_path / "saved"
    (tmp_path / ".saved.aside").mkdir()  # of a killed process
    (tmp_path / ".saved.aside" / "torn").write_text("x")
    folder.mkdir()
    (folder / "old").write_text("x")
    export.save(model, (5, 6, 1), folder)
    assert (folder / "saved_model.pb").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"saved"}
    assert not {"old", "torn"} & {path.name for path in folder.rglob("*")}

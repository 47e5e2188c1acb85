"""Exported models load in a process without this repository and predict what src.predict does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest

from src import commands, export, predict
from src.engine import portable
from src.tracking.outstanding import load_delivery

ELSEWHERE = """
import sys
import keras
import numpy as np
import tensorflow as tf

try:
    import src
    sys.exit("this test means nothing: src is here")
except ImportError:
    pass
x, expected = np.load("x.npy"), np.load("expected.npy")
served = tf.saved_model.load("exported/saved_model").signatures["serving_default"]
found = served(inputs=tf.constant(x, tf.float32))["predictions"].numpy()
np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
model = keras.saving.load_model("exported/model.keras", safe_mode=True)
np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-7)
"""


def call(function, help_text, *words):
    return commands.enter(function, [str(word) for word in words], help_text)


@pytest.fixture(scope="module")
def run(train_in, pictures, tmp_path_factory):
    return train_in(
        tmp_path_factory.mktemp("run"),
        "data=arrays",
        f"data.path={pictures}",
        "model=cnn",
        "model.filters=[2,3]",
        "model.dropout=0.3",
        "epochs=2",
    ).folder


@pytest.mark.slow
def test_both_files_predict_the_same_where_this_repository_is_absent(run, pictures, tmp_path):
    np.save(tmp_path / "x.npy", np.load(pictures)["x_test"])
    folder = tmp_path / "exported"
    files = (f"input={tmp_path / 'x.npy'}", f"output={tmp_path / 'expected.npy'}")
    assert call(predict.predict, "", f"run={run}", *files) == 0
    assert call(export.export, "", f"run={run}", f"output={folder}") == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "about.json",
        "model.keras",
        "saved_model",
    ]
    about = json.loads((folder / "about.json").read_text())
    assert (about["input_shape"], about["class_names"]) == ([5, 6, 1], ["0", "1", "2"])
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["fromats=keras"], "fromats: there is no such key; did you mean formats?"),
        (["formats=onnx"], "formats=onnx: allowed are saved_model, keras"),
        (["checkpoint=first"], "checkpoint=first: allowed are best, last"),
        (["output=here"], "here: it exists; choose a new folder"),
        (["output=file/below"], "file/below: "),
    ],
)
def test_wrong_input_is_one_short_message(run, words, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    assert call(export.export, "", f"run={run}", *words) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "here"]


class Doubling(keras.layers.Layer):
    """A user's layer without a variable, made of Keras' operations."""

    def call(self, inputs):
        return 2 * inputs


class Weighing(keras.layers.Layer):
    """A user's layer with a variable of its own."""

    def build(self, shape):
        self.weight = self.add_weight(shape=(shape[-1],))

    def call(self, inputs):
        return inputs * self.weight


class Net(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.first, self.own = keras.layers.Dense(4, name="dense"), layer
        self.second = keras.layers.Dense(2, name="dense")

    def call(self, inputs):
        return self.second(self.own(self.first(inputs)))


def scaling(offset, scale):
    from src.data.normalise import Scaling

    return Scaling(np.asarray(offset, np.float64), np.asarray(scale, np.float64))


def test_users_own_layers_are_taken_apart(tensorflow, tmp_path):
    model = Net(Doubling())
    x = np.random.default_rng(1).random((5, 3), np.float32)
    logits = model((x - [1, 2, 3]) / [4, 5, 6])
    scaled = scaling([1, 2, 3], [4, 5, 6])
    portable.of_keras_layers(model, (3,), scaled, "softmax").save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(x), keras.ops.softmax(logits), rtol=1e-5)
    assert "__call__" not in Net.__dict__
    assert np.abs(model(x) - loaded(x)).max() > 0  # and the model is as it was


def test_a_variable_outside_of_keras_layers_is_refused(tensorflow):
    model = Net(Weighing())
    model(np.zeros((1, 3), np.float32))
    with pytest.raises(portable.NotKerasOwnError, match=r"Net|Weighing|weight|variable"):
        portable.of_keras_layers(model, (3,), scaling(0, 1), "linear")


def test_what_no_keras_file_can_hold_is_said_and_nothing_is_written(
    run, monkeypatch, tmp_path, capsys
):
    def refuse(*_):
        raise portable.NotKerasOwnError("Net is no layer of Keras")

    monkeypatch.setattr(portable, "of_keras_layers", refuse)
    assert call(export.export, "", f"run={run}", f"output={tmp_path / 'made'}") == 2
    assert "formats=saved_model writes the SavedModel alone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    made = (f"output={tmp_path / 'made'}", "formats=saved_model")
    assert call(export.export, "", f"run={run}", *made) == 0
    assert (tmp_path / "made" / "saved_model" / "saved_model.pb").exists()


@pytest.mark.parametrize("module", ["evaluate", "predict", "export"])
def test_help_and_mistakes_import_nothing_heavy(module, root):
    for words, code in ((["--help"], 0), (["rnu=x"], 2)):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", f"src.{module}", *words],
            cwd=root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code
        for heavy in ("tensorflow", "keras", "mlflow", "matplotlib"):
            assert f" {heavy}\n" not in done.stderr
        assert (f"python -m src.{module} run=RUN_ID" in done.stdout) == (code == 0)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_mlflow_serves_the_model_as_the_readme_says(process, tmp_path, root):
    outputs = tmp_path / "outputs"
    trained = process("epochs=1", f"outputs={outputs}")
    assert trained.code == 0, trained.err
    [folder] = outputs.glob("runs/*")
    run_id = load_delivery(folder)["run_id"]
    [line] = [
        line.strip() for line in (root / "README.md").read_text().splitlines()
        if "mlflow models serve" in line
    ]  # fmt: skip
    port = free_port()
    line = line.partition("  #")[0].replace("outputs/", f"{outputs}/").replace("RUN_ID", run_id)
    assert "5001" in line
    server = subprocess.Popen(
        ["/bin/sh", "-c", f"exec env {line.replace('5001', str(port))}"],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answer = ask(f"http://127.0.0.1:{port}", (folder / "request.json").read_bytes(), server)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)
    np.save(
        tmp_path / "x.npy", np.array(json.loads((folder / "request.json").read_text())["inputs"])
    )
    files = (f"input={tmp_path / 'x.npy'}", f"output={tmp_path / 'p.npy'}")
    assert call(predict.predict, "", f"run={folder}", *files) == 0
    np.testing.assert_allclose(answer["predictions"], np.load(tmp_path / "p.npy"), rtol=1e-5)


def ask(address, body, server, seconds=90):
    """The server's answer, once it is up."""
    deadline = time.monotonic() + seconds
    headers = {"Content-Type": "application/json"}
    while True:
        try:
            request = urllib.request.Request(f"{address}/invocations", body, headers)
            with urllib.request.urlopen(request, timeout=20) as response:
                return json.load(response)
        except (ConnectionError, urllib.error.URLError):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.3)

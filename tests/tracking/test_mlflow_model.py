"""The model a run leaves, loaded by MLflow alone in a process that can't import `src`."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from src.tracking.outstanding import load_delivery
from src.tracking.store import Store
from src.tracking.tracker import Tracker
from tests.tracking.runs import deliver, write_run

LOAD = """
import json, os, sys
import numpy as np, mlflow
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"runs:/{sys.argv[2]}/model")
example = model.input_example
try:
    import src
    raise SystemExit("src can be imported: " + src.__file__)
except ImportError:
    pass
signature = model.metadata.signature.to_dict()
print(json.dumps([model.predict(example).tolist(), example.tolist(), signature]))
"""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A SavedModel that maps (batch, 3) to (batch, 2)."""
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
        def __call__(self, x):
            return x @ self.weights

    folder = tmp_path_factory.mktemp("saved") / "model"
    tf.saved_model.save(Linear(), str(folder))
    return folder


@pytest.fixture
def folder(outputs, uri, saved_model):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end=None, artifacts="light")
    shutil.copytree(saved_model, folder / "model")
    np.save(folder / "input_example.npy", np.eye(4, 3, dtype=np.float32))
    tracker = Tracker(folder, record)
    tracker.model(
        "model",
        input_shape=(3,),
        output_shape=(2,),
        input_example="input_example.npy",
        metadata={"epoch": 3},
    )
    tracker.end("FINISHED", "", 150, 3)
    return folder


def test_it_loads_and_predicts_where_src_is_unknown(folder, uri, tmp_path):
    assert deliver(folder) == ""
    state = load_delivery(folder)
    assert state["error"] is None
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-c", LOAD, uri, state["run_id"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    predictions, example, signature = json.loads(answer.stdout.splitlines()[-1])
    weights = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert np.allclose(np.array(example) @ weights, predictions)
    assert json.loads(signature["inputs"])[0]["tensor-spec"]["shape"] == [-1, 3]
    assert json.loads(signature["outputs"])[0]["tensor-spec"]["shape"] == [-1, 2]


def test_it_is_there_once_shown_at_its_run_and_holds_no_pickle(folder, uri, outputs):
    for _ in range(2):
        assert deliver(folder) == ""
        (folder / "delivery.json").unlink()
    client = Store(uri).client
    [run] = client.search_runs([client.get_experiment_by_name("research").experiment_id])
    [output] = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.name, str(model.status)) == ("model", "READY")
    assert model.params == {"epoch": "3"}
    [stored] = outputs.glob("mlartifacts/*/models/*/artifacts")
    files = {path.relative_to(stored).as_posix() for path in stored.rglob("*") if path.is_file()}
    assert {"MLmodel", "requirements.txt", "tf2model/saved_model.pb", "input_example.json"} <= files
    assert not [name for name in files if "pkl" in name or "pickle" in name]
    requirements = (stored / "requirements.txt").read_text().split()
    assert [name.partition("==")[0] for name in requirements] == [
        "mlflow",
        "tensorflow",
        "keras",
        "numpy",
    ]


@pytest.mark.parametrize("path", ["../../secret", "nowhere", "artifacts"])
def test_a_model_that_is_missing_or_outside_is_told(outputs, uri, rows, path):
    folder = outputs / "runs" / "a"
    record = write_run(folder, uri, end=None, artifacts="none")
    (folder / "artifacts").mkdir(exist_ok=True)
    tracker = Tracker(folder, record)
    tracker.journal.append("model", path=path, input_shape=[3], output_shape=[2])
    tracker.end("FINISHED", "")
    assert deliver(folder) == ""
    assert rows.runs()[0][2] == "FINISHED"
    assert "model not delivered" in load_delivery(folder)["error"]


def test_an_input_example_that_is_a_pickle_is_not_loaded(folder):
    np.save(folder / "input_example.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert deliver(folder) == ""
    assert "allow_pickle=False" in load_delivery(folder)["error"]

"""A run's SavedModel as an MLflow model, without importing TensorFlow and without pickles.

The folder gets the layout that `mlflow.tensorflow` itself writes for a tf.Module, so MLflow's own
flavor loads it: `mlflow.pyfunc.load_model("runs:/<run id>/model")`, in a process that knows
nothing of this package.
"""

import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from src import crash_points
from src.tracking.journal import Line
from src.tracking.paths import inside
from src.tracking.store import Store

NAME = "model"
_SEQ_TAG = "harness.seq"


def deliver_model(
    store: Store, folder: Path, experiment_id: str, run_id: str, line: Line
) -> list[str]:
    """Log the model of a journal line to its run; problems with its files are returned as texts."""
    try:
        saved_model = inside(folder, line["path"])
        example = _load_example(folder, line)
    except (ValueError, OSError) as error:
        return [f"model not delivered: {error}"]
    if not (saved_model / "saved_model.pb").is_file():
        return [f"model not delivered: {saved_model} holds no SavedModel"]
    crash_points.passing("model.send")
    model_id, location = store.open_model(
        experiment_id, run_id, NAME, {_SEQ_TAG: str(line["seq"])}, _texts(line)
    )
    crash_points.passing("model.opened")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / NAME
        _write(root, saved_model, example, line, run_id, model_id, location)
        store.finish_model(run_id, model_id, root, step=int(line.get("epoch") or 0))
    crash_points.passing("model.answered")
    return []


def _texts(line: Line) -> dict[str, str]:
    return {key: str(value)[:250] for key, value in line.get("metadata", {}).items()}


def _load_example(folder: Path, line: Line) -> np.ndarray | None:
    if not line.get("input_example"):
        return None
    return np.load(inside(folder, line["input_example"]), allow_pickle=False)


def _write(
    root: Path,
    saved_model: Path,
    example: np.ndarray | None,
    line: Line,
    run_id: str,
    model_id: str,
    location: str,
) -> None:
    import yaml
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.models.utils import _save_example
    from mlflow.types.schema import Schema, TensorSpec
    from mlflow.utils.environment import _mlflow_conda_env, _PythonEnv

    root.mkdir()
    _copy(saved_model, root / "tf2model")
    kind = np.dtype(line.get("input_dtype", "float32"))
    inputs = TensorSpec(kind, (-1, *line["input_shape"]))
    outputs = TensorSpec(np.dtype(np.float32), (-1, *line["output_shape"]))
    model = Model(
        artifact_path=location,
        model_uuid=model_id,
        model_id=model_id,
        run_id=run_id,
        signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
        metadata=_metadata(line),
    )
    _save_example(model, example, str(root))
    model.add_flavor("tensorflow", code=None, saved_model_dir="tf2model", model_type="tf2-module")
    pyfunc.add_to_model(
        model,
        loader_module="mlflow.tensorflow",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    model.model_size_bytes = sum(f.stat().st_size for f in root.rglob("*") if f.is_file())
    model.save(str(root / "MLmodel"))
    requirements = _requirements()
    (root / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    environment = _mlflow_conda_env(additional_pip_deps=requirements, install_mlflow=False)
    (root / "conda.yaml").write_text(yaml.safe_dump(environment), encoding="utf-8")
    _PythonEnv.current().to_yaml(str(root / "python_env.yaml"))


def _metadata(line: Line) -> dict[str, Any] | None:
    return line.get("metadata") or None


def _copy(source: Path, target: Path) -> None:
    """Copy a folder's plain files; hard links where possible, since models can be large."""
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, copy)
        except OSError:
            shutil.copyfile(path, copy)


def _requirements() -> list[str]:
    return [f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES]


_PACKAGES = ("mlflow", "tensorflow", "keras", "numpy")

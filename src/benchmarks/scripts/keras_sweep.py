"""A sweep as a Keras user has it: a loop over the jobs in one process, each a child run in MLflow.

    python -m src.benchmarks.scripts.keras_sweep JOBS.json FOLDER

JOBS.json: {"epochs", "jobs": [{"learning_rate", "batch_size", "seed"}, ...]}, and beside it the
arrays x_train.npy, y_train.npy, x_val.npy, y_val.npy, x_test.npy, y_test.npy. Models are not
logged, since this harness keeps none of a sweep's jobs either. Prints the last losses.
"""

import json
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np

from src.benchmarks.scripts.cross_entropy import CrossEntropy
from src.benchmarks.scripts.store import open_store


def main() -> None:
    """Train one job after another."""
    jobs_file, folder = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(jobs_file.read_text(encoding="utf-8"))
    names = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")
    paths = (jobs_file.parent / f"{name}.npy" for name in names)
    x, y, x_val, y_val, x_test, y_test = (np.load(path, allow_pickle=False) for path in paths)
    open_store(folder)
    mlflow.keras.autolog(log_models=False)
    losses = []
    with mlflow.start_run(run_name="sweep"):
        for number, job in enumerate(request["jobs"]):
            keras.utils.clear_session()
            keras.utils.set_random_seed(job["seed"])
            model = keras.Sequential(
                [
                    keras.Input(x.shape[1:]),
                    keras.layers.Dense(32, activation="relu"),
                    keras.layers.Dense(y.shape[1]),
                ]
            )
            model.compile(
                optimizer=keras.optimizers.SGD(job["learning_rate"]),
                loss=CrossEntropy(),
                metrics=["accuracy"],
            )
            with mlflow.start_run(run_name=str(number), nested=True):
                history = model.fit(
                    x,
                    y,
                    batch_size=job["batch_size"],
                    epochs=request["epochs"],
                    validation_data=(x_val, y_val),
                    verbose=0,
                )
                test = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
                mlflow.log_metrics({f"test_{name}": value for name, value in test.items()})
            losses.append(history.history["loss"][-1])
    print(json.dumps({"losses": losses}))


if __name__ == "__main__":
    main()

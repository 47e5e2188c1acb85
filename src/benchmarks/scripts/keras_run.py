"""A run as a Keras user has it: `fit` with validation, logged by MLflow into a SQLite store.

    python -m src.benchmarks.scripts.keras_run DATA FOLDER EPOCHS

DATA is the folder of Fashion-MNIST's four files or an .npz file. Prints the last training loss.
"""

import gzip
import json
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np

from src.benchmarks.scripts.store import open_store

VALIDATION_ROWS = 5_000


def read(source: Path) -> dict[str, np.ndarray]:
    """x_train, y_train, x_test, y_test; pixels as float32 from 0 to 1."""
    if source.is_dir():
        arrays = {}
        for split, prefix in (("train", "train"), ("test", "t10k")):
            labels = _bytes(source / f"{prefix}-labels-idx1-ubyte")
            pixels = _bytes(source / f"{prefix}-images-idx3-ubyte")
            arrays[f"y_{split}"] = np.frombuffer(labels, np.uint8, offset=8)
            arrays[f"x_{split}"] = np.frombuffer(pixels, np.uint8, offset=16)
            arrays[f"x_{split}"] = arrays[f"x_{split}"].reshape(-1, 28, 28, 1)
    else:
        arrays = dict(np.load(source, allow_pickle=False))
    return {k: v.astype("float32") / 255 if k[0] == "x" else v for k, v in arrays.items()}


def _bytes(path: Path) -> bytes:
    packed = path.with_name(f"{path.name}.gz")
    return gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()


def main() -> None:
    """Train, validate, test, log."""
    source, folder, epochs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    data = read(source)
    held_out = min(VALIDATION_ROWS, len(data["x_train"]) // 12)
    x, x_val = data["x_train"][:-held_out], data["x_train"][-held_out:]
    y, y_val = data["y_train"][:-held_out], data["y_train"][-held_out:]
    open_store(folder)
    mlflow.keras.autolog()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=32,
    )
    with mlflow.start_run():
        history = model.fit(
            x, y, batch_size=128, epochs=epochs, validation_data=(x_val, y_val), verbose=2
        )
        test = model.evaluate(
            data["x_test"], data["y_test"], batch_size=2048, verbose=0, return_dict=True
        )
        mlflow.log_metrics({f"test_{name}": value for name, value in test.items()})
    print(json.dumps({"loss": history.history["loss"][-1]}))


if __name__ == "__main__":
    main()

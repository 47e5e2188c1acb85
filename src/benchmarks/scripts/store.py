"""Where the Keras scripts log to."""

from pathlib import Path

import mlflow


def open_store(folder: Path) -> None:
    """Log into a SQLite file and an artifacts folder below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    if mlflow.get_experiment_by_name("benchmark") is None:
        mlflow.create_experiment("benchmark", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("benchmark")

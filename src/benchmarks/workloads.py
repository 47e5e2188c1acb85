"""What is trained: named by the overrides of the command, so that it is what a user would run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.benchmarks.configuration import composed
from src.job import load_data


@dataclass(frozen=True)
class Workload:
    """A model on its data.

    Attributes:
        name: of its folder.
        title: for people.
        overrides: of `python -m src.train`.
        epochs: in a round of the measurement.
    """

    name: str
    title: str
    overrides: tuple[str, ...]
    epochs: int


def prepare(workload: Workload, folder: Path) -> dict[str, Any]:
    """Write the training arrays for the peers, x.npy and y.npy; what else they need to know.

    Returns:
        The arguments of a peer's request `load`; see `src.benchmarks.peers.work`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = composed(workload.overrides)
    dataset, _ = load_data(config)
    np.save(folder / "x.npy", dataset.train.x)
    np.save(folder / "y.npy", dataset.train.y)
    return {
        "folder": str(folder),
        "overrides": list(workload.overrides),
        "model": config.model.model_dump(by_alias=True),
        "num_classes": dataset.num_classes,
        "labels": dataset.labels,
        "batch_size": config.data.batch_size,
        "learning_rate": config.optimizer.learning_rate,
        "updates_per_epoch": -(-dataset.train_rows // config.data.batch_size),
    }

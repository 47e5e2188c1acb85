"""What a peer is given, and what it must be able to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Work:
    """A model, its data and how to train it.

    Attributes:
        folder: of the arrays and of weights.npz, the weights before training.
        overrides: of the harness' command for the same work.
        model: `_target_` and arguments of the Keras model.
        num_classes: width of the model's output.
        labels: `integer`, or `soft` for one value a class.
        batch_size: rows of an update; the last batch of an epoch may be smaller.
        learning_rate: of plain gradient descent.
    """

    folder: Path
    overrides: tuple[str, ...]
    model: dict[str, Any]
    num_classes: int
    labels: str
    batch_size: int
    learning_rate: float

    @classmethod
    def of(cls, request: dict[str, Any]) -> "Work":
        """From the arguments of a request."""
        values = {name: request[name] for name in cls.__dataclass_fields__}
        values["folder"] = Path(values["folder"])
        values["overrides"] = tuple(values["overrides"])
        return cls(**values)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows: x float32 (rows, *input_shape); y int32 (rows,) or float32 (rows, classes)."""
        return np.load(self.folder / "x.npy", allow_pickle=False), np.load(
            self.folder / "y.npy", allow_pickle=False
        )

    def initial_weights(self) -> list[np.ndarray]:
        """The model's weights before training, in Keras' order."""
        with np.load(self.folder / "weights.npz", allow_pickle=False) as stored:
            return [stored[name] for name in stored.files]


class Peer(Protocol):
    """A way of training. `label` may name the variant that turned out fastest."""

    label: str

    def train(self, epochs: int, *, shuffled: bool) -> float:
        """Train; the mean loss of the last epoch, each row counted once.

        shuffled: in a new order each epoch, else the rows as they come.
        """
        ...

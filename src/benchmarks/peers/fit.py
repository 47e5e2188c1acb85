"""Keras `fit` as it comes."""

from typing import Any

from src.benchmarks.peers import keras_parts
from src.benchmarks.peers.work import Work


class Fit:
    """`compile` and `fit` on arrays in memory."""

    def __init__(self, work: Work, label: str = "Keras fit, default", **flags: Any) -> None:
        self.label = label
        self.batch_size = work.batch_size
        self.x, self.y = work.arrays()
        self.model = keras_parts.model(work)
        self.model.compile(
            optimizer=keras_parts.optimizer(work),
            loss=keras_parts.loss(work),
            metrics=["accuracy"],
            **flags,
        )

    def train(self, epochs: int, *, shuffled: bool) -> float:
        """Train; the mean loss of the last epoch."""
        history = self.model.fit(
            self.x,
            self.y,
            batch_size=self.batch_size,
            epochs=epochs,
            shuffle=shuffled,
            verbose=0,
        )
        return float(history.history["loss"][-1])


def load(work: Work) -> Fit:
    """Fit without any flag."""
    return Fit(work)

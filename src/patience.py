"""How long a metric may go without improving, and what follows: the run ends, or learns slower."""

from dataclasses import dataclass, field

from src import ranking


@dataclass
class Patience:
    """Counts the epochs since a metric last improved.

    They are counted whether anything follows from them or not, so that a run that goes on with
    another patience knows how long it has waited.

    Attributes:
        epochs: without an improvement that are too many; None: any number is borne.
        min_delta: an improvement is a change for the better by more than this.
        best: the value at the last improvement, None before the first.
        waited: epochs since then.
    """

    epochs: int | None = None
    min_delta: float = 0.0
    best: float | None = None
    waited: int = 0

    @property
    def over(self) -> bool:
        """Whether it has waited for too long."""
        return self.epochs is not None and self.waited >= self.epochs

    def watch(self, metric: str, value: float) -> None:
        """Take in an epoch's value of `metric`; a NaN is no improvement."""
        if ranking.better(metric, value, self.best, by=self.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    @property
    def progress(self) -> dict[str, float | int | None]:
        """What a checkpoint keeps of it."""
        return {"best": self.best, "waited": self.waited}

    def resume(self, progress: dict[str, float | int | None]) -> None:
        """Go on from what a checkpoint kept."""
        self.best, self.waited = progress["best"], int(progress["waited"] or 0)


@dataclass
class Plateau:
    """Learn slower where a metric no longer improves.

        rate <- max(rate * factor, minimum)    after `patience` epochs without an improvement

    By hand in He et al., "Deep Residual Learning", 2016, section 3.4. As in Keras'
    `ReduceLROnPlateau`, the epochs are counted anew after it and the best value stays.

    Attributes:
        patience: when.
        factor: of the rate that is left.
        minimum: the rate is not made smaller than this; one that is already stays as it is.
    """

    patience: Patience = field(default_factory=Patience)
    factor: float = 0.1
    minimum: float = 0.0

    def rate_after(self, metric: str, value: float, rate: float) -> float:
        """The learning rate after an epoch with this value of `metric`, `rate` in it."""
        self.patience.watch(metric, value)
        if not self.patience.over:
            return rate
        self.patience.waited = 0
        return min(rate, max(rate * self.factor, self.minimum))

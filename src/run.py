"""One run while it trains: what it has reached, and where that is recorded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src import ranking
from src.engine.checkpoint import Checkpoint, CheckpointError, Checkpoints
from src.engine.state import State
from src.patience import Patience, Plateau
from src.tracking.paths import write_json_atomically
from src.tracking.tracker import SUMMARY, Status, Tracker


@dataclass(frozen=True)
class Best:
    """The best epoch so far, by the monitored metric."""

    value: float
    epoch: int
    update: int
    state: State


@dataclass
class Run:
    """A member of a program: solo runs are the only one, fused sweeps have many.

    Attributes:
        seed: of the order of the rows.
        learning_rate: the base that the schedule multiplies; smaller after a plateau.
        monitor: the metric that decides which epoch is the best, such as `val/loss`.
        objective: the metric that sweeps compare.
        objective_value: its best value over the epochs so far.
        stopping: ends the run when `monitor` no longer improves.
        target: ends it when `monitor` is as good as this.
        plateau: reduces the learning rate when it no longer does.
        metrics: those of the last epoch.
        status: None while it trains.
    """

    tracker: Tracker
    checkpoints: Checkpoints
    seed: int
    learning_rate: float
    monitor: str
    objective: str
    best: Best | None = None
    objective_value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    status: Status | None = None
    reason: str = ""
    epoch: int = 0
    update: int = 0
    closed: bool = False
    stopping: Patience = field(default_factory=Patience)
    target: float | None = None
    plateau: Plateau = field(default_factory=Plateau)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.tracker.folder

    def record_updates(
        self,
        first: int,
        losses: np.ndarray,
        rates: np.ndarray,
        reported: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Record the updates `first, first + 1, ...` (1-based), and what else a step reported.

        A loss that is not finite ends the run.
        """
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            losses, rates = losses[: bad[0] + 1], rates[: bad[0] + 1]
        count = len(losses)
        self.tracker.updates(
            first, losses, rates, {name: own[:count] for name, own in (reported or {}).items()}
        )
        self.update = first + count - 1
        if bad.size:
            self.end("FAILED", f"the loss became {losses[-1]} at update {self.update}")

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Record an epoch's metrics; returns whether it is the best so far by `monitor`.

        Too many epochs without an improvement end the run, or make it learn slower.
        """
        self.epoch, self.metrics = epoch, dict(metrics)
        self.tracker.metrics(epoch, self.metrics)
        if ranking.better(self.objective, self.metrics[self.objective], self.objective_value):
            self.objective_value = self.metrics[self.objective]
        best, monitored = self.best.value if self.best else None, self.metrics[self.monitor]
        self.learning_rate = self.plateau.rate_after(self.monitor, monitored, self.learning_rate)
        self.stopping.watch(self.monitor, monitored)
        self._stop_early()
        return ranking.better(self.monitor, monitored, best)

    def _stop_early(self) -> None:
        if self._target_reached:
            self.end("FINISHED", f"reached {self.monitor} {self.target} in epoch {self.epoch}")
        if self.stopping.over:
            self.end(
                "FINISHED",
                f"stopped early after epoch {self.epoch}: {self.monitor} has not improved for "
                f"{self.stopping.waited} epochs",
            )

    @property
    def _target_reached(self) -> bool:
        value = self.metrics.get(self.monitor)
        if self.target is None or value is None:
            return False
        return value == self.target or ranking.better(self.monitor, value, self.target)

    @property
    def stopped_early(self) -> bool:
        """Whether it was ended by `stopping` or `target`, before or at its last epoch."""
        return self.status == "FINISHED" and (self.stopping.over or self._target_reached)

    def finish(self) -> None:
        """End a run that has trained for all its epochs."""
        reason = f"trained {self.epoch} epochs"
        if self.target is not None and self.best is not None:
            reason += f" without {self.monitor} {self.target}: its best was {self.best.value:.4g}"
        self.end("FINISHED", reason)

    def keep_best(self, state: State) -> None:
        """Remember the model's variables as those of the best epoch."""
        self.best = Best(self.metrics[self.monitor], self.epoch, self.update, state)

    def save(self, update_in_epoch: int, state: State) -> None:
        """Write a checkpoint, after the journal that leads up to it; a refusal ends the run."""
        self.tracker.sync()
        best = self.best
        progress = {
            "epoch": self.epoch,
            "update_in_epoch": update_in_epoch,
            "metrics": self.metrics,
            "objective": self.objective_value,
            "best": {"value": best.value, "epoch": best.epoch, "update": best.update}
            if best
            else None,
            "learning_rate": self.learning_rate,
            "stopping": self.stopping.progress,
            "plateau": self.plateau.patience.progress,
        }
        try:
            self.checkpoints.save(self.update, state, best.state if best else None, progress)
        except CheckpointError as error:
            # Whatever was decided before: what is not on disk is not finished.
            self.status, self.reason = "FAILED", f"the checkpoint could not be written: {error}"

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take over what the run had reached at `checkpoint`.

        One that had stopped early has ended, unless it goes on with more patience.
        """
        progress: dict[str, Any] = checkpoint.progress
        self.update, self.epoch = checkpoint.update, progress["epoch"]
        self.metrics, self.objective_value = progress["metrics"], progress["objective"]
        if progress["best"] is not None and checkpoint.best is not None:
            self.best = Best(**progress["best"], state=checkpoint.best)
        self.learning_rate = progress["learning_rate"]
        self.stopping.resume(progress["stopping"])
        self.plateau.patience.resume(progress["plateau"])
        self._stop_early()

    def end(self, status: Status, reason: str) -> None:
        """Decide how the run ended; the first decision stands."""
        if self.status is None:
            self.status, self.reason = status, reason

    @property
    def score(self) -> float:
        """What a sweeper is told: the objective's best value, NaN for a run that failed."""
        if self.objective_value is None or self.status == "FAILED":
            return math.nan
        return self.objective_value

    @property
    def summary(self) -> dict[str, Any]:
        """How the run ended and what it reached; kept as the artifact `summary.json`."""
        return {
            "status": self.status,
            "reason": self.reason,
            "update": self.update,
            "epoch": self.epoch,
            "objective": self.objective,
            "objective_value": self.objective_value,
            "best_epoch": self.best.epoch if self.best else None,
            "stopped_early": self.stopped_early,
            "metrics": self.metrics,
        }

    def close(self) -> None:
        """Write how the run ended; nothing is recorded after it.

        On a full disk what doesn't fit is left out, and `reason` tells.
        """
        self.end("FAILED", "it was left without an end")
        self.closed = True
        for what, write in (("summary", self._write_summary), ("end", self._write_end)):
            try:
                write()
            except OSError as error:
                self.status = "KILLED" if self.status == "KILLED" else "FAILED"
                self.reason += f"; its {what} could not be written ({error})"
        self.tracker.close()

    def _write_summary(self) -> None:
        write_json_atomically(self.tracker.artifact_path(SUMMARY), self.summary)
        self.tracker.artifact(SUMMARY)

    def _write_end(self) -> None:
        assert self.status is not None
        self.tracker.end(self.status, self.reason, self.update, self.epoch)

    def abort(self, reason: str) -> None:
        """Close the record of a run that an error ended."""
        if not self.closed:
            self.status, self.reason = "FAILED", reason
            self.close()

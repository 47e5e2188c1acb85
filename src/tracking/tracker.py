"""The small tracker that the training loop talks to. It only writes the run's own folder."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from src import crash_points
from src.tracking import journal, process
from src.tracking.journal import Journal, JournalDisagreementError
from src.tracking.paths import inside
from src.tracking.record import RunRecord

Status = Literal["FINISHED", "FAILED", "KILLED"]

ARTIFACTS = "artifacts"
SUMMARY = "summary.json"  # among the artifacts: how a run ended and what it reached


class Tracker:
    """Writes a claimed run's journal; whoever delivers it reads it there.

    warn: called once with a text when an update run again disagrees with the journal.
    """

    def __init__(
        self, folder: Path, record: RunRecord, warn: Callable[[str], None] = logging.warning
    ) -> None:
        self.folder = Path(folder)
        self.record = record
        self.journal = Journal(self.folder / journal.FILE_NAME, journal.PATIENCE_SECONDS)
        self.disagreement: JournalDisagreementError | None = None
        self._warn = warn

    def begin(self, update: int = 0) -> None:
        """Training starts, or goes on after `update` updates; this process is now the writer."""
        attempt = self.journal.attempts + 1
        self.journal.append("begin", attempt=attempt, update=update, process=process.identity())

    def updates(
        self,
        first: int,
        losses: np.ndarray,
        learning_rates: np.ndarray,
        others: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """One value an update, float32 (count,) each, for updates `first`, ... (from 1).

        others: further ones, by what comes after `update/` in the metric's name.
        """
        values = {"update/loss": losses, "update/learning_rate": learning_rates}
        values |= {f"update/{name}": own for name, own in (others or {}).items()}
        self._check(self.journal.updates(first, values))

    def metrics(self, epoch: int, values: dict[str, float]) -> None:
        """Metrics of an epoch (counted from 1), e.g. {"train/loss": 0.3, "val/loss": 0.4}."""
        self._check(self.journal.metrics(epoch, values))

    def measured(self, epoch: int, values: dict[str, float]) -> bool:
        """Metrics of a run that has ended, measured later; False: the journal holds them all.

        What was measured before with another result (on another machine, say) is written again.
        """
        fresh = {key: v for key, v in values.items() if not self.journal.measured(key, epoch, v)}
        if fresh:
            self.journal.append("metrics", step=epoch, values=fresh)
        return bool(fresh)

    def tags(self, tags: dict[str, str]) -> None:
        """Tags that became known after the record was written."""
        self.journal.append("tags", tags={key: str(value) for key, value in tags.items()})

    def params(self, params: dict[str, Any]) -> None:
        """Parameters that became known, or changed, after the record was written."""
        self.journal.append("params", params=params)

    def artifact_path(self, relative: str) -> Path:
        """Where to write the artifact `relative`; its folder exists afterwards."""
        path = inside(self.folder / ARTIFACTS, relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def artifact(self, relative: str) -> None:
        """The file `relative` of the run's artifacts folder is complete: deliver it."""
        inside(self.folder / ARTIFACTS, relative)
        crash_points.passing("artifact.written")
        self.journal.append("artifact", path=relative)

    def model(
        self,
        path: str,
        *,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        input_dtype: str = "float32",
        input_example: str | None = None,
        metadata: dict[str, Any] | None = None,
        write: Callable[[], None] | None = None,
    ) -> None:
        """The SavedModel folder `path` (relative to the run's folder) is complete: deliver it.

        Its signature maps input_dtype (batch, *input_shape) to float32 (batch, *output_shape).
        input_example: .npy file relative to the run's folder, input_dtype (rows, *input_shape).
        write: makes the folder complete first. A model that the attempt before this one recorded
            is neither written nor recorded again: it may be on its way right now.
        """
        inside(self.folder, path)
        fields = {
            "path": path,
            "input_shape": list(input_shape),
            "input_dtype": input_dtype,
            "output_shape": list(output_shape),
            "input_example": input_example,
            "metadata": metadata or {},
        }
        if self.journal.holds("model", **fields):
            return
        if write is not None:
            write()
        self.journal.append("model", **fields)

    def sync(self) -> None:
        """Flush the journal to disk; called before a checkpoint counts as taken."""
        self.journal.sync()

    def end(self, status: Status, reason: str, update: int = 0, epoch: int = 0) -> None:
        """The run is over (a resume begins it anew). Flushed to disk; the tracker is closed."""
        self.journal.append("end", status=status, reason=reason, update=update, epoch=epoch)
        self.journal.sync()
        self.close()

    def close(self) -> None:
        """Let go of the journal without an end: whoever finds no process closes the run."""
        self.journal.close()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, disagreement: JournalDisagreementError | None) -> None:
        if disagreement is None or self.disagreement is not None:
            return
        self.disagreement = disagreement
        text = str(disagreement)
        self.journal.append("mismatch", text=text, key=disagreement.key, step=disagreement.step)
        self._warn(text)

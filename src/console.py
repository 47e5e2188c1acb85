"""What a person sees while training: a live bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.progress import TaskID


class Console:
    """Plain lines: one an epoch, and one every `log_every` updates of an epoch.

    Args:
        epochs: how many are trained in all.
        updates_per_epoch: for the place within an epoch.
        batch_size: for the samples seen.
        rows: rows of an epoch.
        log_every: 0 for no line between epochs.
        label: put before each line, for example the name of a sweep's member.
    """

    def __init__(
        self,
        epochs: int,
        updates_per_epoch: int,
        batch_size: int,
        rows: int,
        log_every: int,
        label: str = "",
    ) -> None:
        self.epochs = epochs
        self.updates_per_epoch = updates_per_epoch
        self.batch_size = batch_size
        self.rows = rows
        self.log_every = log_every
        self.prefix = f"{label}: " if label else ""
        self._epoch_began = time.perf_counter()
        self._epoch_updates = 0

    def __enter__(self) -> "Console":
        self._epoch_began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def updated(self, first: int, losses: np.ndarray) -> None:
        """Updates `first, first + 1, ...` (1-based) are done, with losses `(updates, members)`."""
        self._epoch_updates += len(losses)
        if not self.log_every:
            return
        for offset, loss in enumerate(losses):
            epoch, in_epoch = divmod(first + offset - 1, self.updates_per_epoch)
            if in_epoch % self.log_every == 0:
                seen = min((in_epoch + 1) * self.batch_size, self.rows)
                shown = " ".join(f"{value:.4f}" for value in loss)
                self.write(
                    f"epoch {epoch + 1} update {in_epoch + 1}/{self.updates_per_epoch}: "
                    f"loss {shown}, seen so far {seen:,} samples"
                )

    def epoch_done(self, epoch: int, metrics: Sequence[Mapping[str, float]]) -> None:
        """An epoch (1-based) is over, with the metrics of each member that trained in it."""
        seconds = max(time.perf_counter() - self._epoch_began, 1e-9)
        self.show_epoch(epoch, metrics, self._epoch_updates / seconds)
        self._epoch_began, self._epoch_updates = time.perf_counter(), 0

    def show_epoch(self, epoch: int, metrics: Sequence[Mapping[str, float]], rate: float) -> None:
        """Show an epoch's metrics and its updates per second."""
        self.write(f"epoch {epoch}/{self.epochs}: {describe(metrics[0])}  ({rate:,.0f} updates/s)")

    def write(self, line: str) -> None:
        """Print one line."""
        print(f"{self.prefix}{line}", flush=True)


class JobConsole(Console):
    """No line an epoch: for the jobs of a sweep, of which one line each is said at their end."""

    def show_epoch(self, epoch: int, metrics: Sequence[Mapping[str, float]], rate: float) -> None:
        """Say nothing."""


class LiveConsole(Console):
    """A bar with epoch, loss, accuracy, updates per second and the time left."""

    def __enter__(self) -> "LiveConsole":
        super().__enter__()
        # Imported here: only a terminal needs it, and it costs 0.1 s.
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn(f"{self.prefix}epoch {{task.fields[epoch]}}/{self.epochs}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[values]}"),
            TextColumn("{task.fields[rate]:,.0f} updates/s"),
            TimeRemainingColumn(compact=True),
            console=RichConsole(),
            refresh_per_second=5,
        )
        total = self.epochs * self.updates_per_epoch
        self._task: TaskID = self._progress.add_task("", total=total, epoch=1, values="", rate=0.0)
        self._progress.start()
        self._last = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def updated(self, first: int, losses: np.ndarray) -> None:
        """Move the bar on."""
        super().updated(first, losses)
        done = first + len(losses) - 1
        now = time.perf_counter()
        epoch = (first - 1) // self.updates_per_epoch + 1
        self._progress.update(
            self._task, completed=done, epoch=epoch, rate=len(losses) / max(now - self._last, 1e-9)
        )
        self._last = now

    def show_epoch(self, epoch: int, metrics: Sequence[Mapping[str, float]], rate: float) -> None:
        """Show the epoch's metrics beside the bar."""
        # Short: in a narrow terminal the epoch and the time left must stay visible.
        shown = [
            f"{name.removeprefix('val/')} {value:.3f}"
            for name, value in metrics[0].items()
            if name.startswith("val/")
        ]
        self._progress.update(self._task, values=" ".join(["val", *shown]), rate=rate)

    def write(self, line: str) -> None:
        """Print one line above the bar."""
        self._progress.console.print(f"{self.prefix}{line}", highlight=False)


def console_class() -> type[Console]:
    """The live bar where there is a terminal that can draw it, else plain lines."""
    return (
        LiveConsole if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" else Console
    )


def describe(metrics: Mapping[str, float]) -> str:
    """Metrics in one line, those of training first."""
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def warn(text: str) -> None:
    """Say what is wrong but does not end the run."""
    print(f"warning: {text}", file=sys.stderr, flush=True)

"""A run's journal read as a whole, for its pictures and its description."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.tracking import journal
from src.tracking.journal import Line


@dataclass
class History:
    """metrics: key -> {step: value}. updates: key -> [(first step, float32 values), ...]."""

    metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    updates: dict[str, list[tuple[int, np.ndarray]]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    begins: list[Line] = field(default_factory=list)
    models: list[Line] = field(default_factory=list)
    mismatch: str | None = None
    end: Line | None = None  # of the last attempt, None while that goes on
    last_time: int = 0  # ms since the epoch

    def last(self) -> dict[str, tuple[int, float]]:
        """Key -> (step, value) of each metric's last step."""
        return {key: max(values.items()) for key, values in self.metrics.items()}

    def update_series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps int64 (count,) and values float32 (count,) of a series with one point an update."""
        parts = self.updates.get(key, [])
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        steps = [np.arange(first, first + len(values)) for first, values in parts]
        return np.concatenate(steps), np.concatenate([values for _, values in parts])


def read_history(path: Path) -> History:
    """Read the journal at `path`; a torn tail is left out. Raises JournalDamagedError."""
    history = History()
    for _, line in journal.read(path):
        history.last_time = line["t"]
        kind = line["kind"]
        if kind == "begin":
            history.begins.append(line)
            history.end = None
        elif kind == "end":
            history.end = line
        elif kind == "metrics":
            for key, value in line["values"].items():
                history.metrics.setdefault(key, {})[line["step"]] = value
        elif kind == "updates":
            for key, text in line["values"].items():
                values = journal.decode_array(text)
                history.updates.setdefault(key, []).append((line["first"], values))
        elif kind == "tags":
            history.tags.update(line["tags"])
        elif kind == "model":
            history.models.append(line)
        elif kind == "mismatch":
            history.mismatch = line["text"]
    return history

"""journal.jsonl: the append-only truth of a run.

A line is the CRC-32 of what follows (8 hex digits), a space, and a compact JSON object with `seq`
(0, 1, ...), `t` (milliseconds since the epoch, fixed when written) and `kind`. Values an update are
base64 of little-endian float32, so that 10,000 of them cost well under a millisecond.

Promises: a line is written by one system call; what was written is never changed; a torn last line
is dropped when the file is opened again; a damaged line before it stops with its number. Updates
and epochs that are run again after a resume are compared with what is held, bit for bit, and not
written twice. One process writes at a time (an advisory lock on the file keeps others out).
"""

import base64
import errno
import fcntl
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src import crash_points, storage
from src.errors import UserError
from src.tracking.paths import sync_folder

FILE_NAME = "journal.jsonl"
# Metrics under these names tell about the machine, not the run: they differ when run again.
NOT_COMPARED = ("time/", "system/")
PATIENCE_SECONDS = 3.0  # a shipper that closes a dead run has the file for some milliseconds

Line = dict[str, Any]


class JournalDamagedError(UserError):
    """A line before the last one fails its checksum, or a number is missing."""


class JournalBusyError(UserError):
    """Another living process writes this journal."""


class JournalDisagreementError(Exception):
    """What was run again gave another value than the journal holds: not deterministic."""

    def __init__(self, key: str, step: int, held: float, found: float) -> None:
        super().__init__(
            f"{key} at step {step} is {found!r} now but was {held!r} before the resume: "
            "this run is not deterministic"
        )
        self.key, self.step, self.held, self.found = key, step, held, found


def encode_line(content: Line) -> bytes:
    """One whole line: checksum, space, JSON, newline."""
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode_line(raw: bytes) -> Line | None:
    """The object of one line (without its newline), or None when it isn't intact."""
    text = raw[9:]
    if raw[:9] != b"%08x " % zlib.crc32(text):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def encode_array(values: np.ndarray) -> str:
    """Base64 of the values as little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def decode_array(text: str) -> np.ndarray:
    """float32 (count,), read-only."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


def read(path: Path, offset: int = 0) -> Iterator[tuple[int, Line]]:
    """Yield (offset after the line, line) from `offset` on, stopping before a torn tail.

    Raises JournalDamagedError for a damaged line that has intact data after it.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for raw in file:
            line = decode_line(raw[:-1]) if raw.endswith(b"\n") else None
            if line is None:
                if file.read(1):
                    raise JournalDamagedError(_where(path, offset))
                return
            offset += len(raw)
            yield offset, line


def _where(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        number = file.read(offset).count(b"\n") + 1
    return (
        f"{path} line {number} (byte {offset}) is damaged: its checksum doesn't fit. "
        "Restore the file from a copy, or start a new run"
    )


class Journal:
    """The one writer of a run's journal.

    After opening: `last_update` (highest update held), `epochs_done` (highest epoch with metrics),
    `attempts` (begin lines), `ended` (the last attempt's end line, None while it goes on; what
    src.evaluate measures later follows it).
    """

    def __init__(self, path: Path, patience_seconds: float = 0.0) -> None:
        """Open for append, creating the file. Raises JournalDamagedError or JournalBusyError.

        patience_seconds: how long to wait for another writer.
        """
        self.path = Path(path)
        self.last_update = 0
        self.epochs_done = 0
        self.attempts = 0
        self.ended: Line | None = None
        self._seq = 0
        self._size = 0
        self._held_updates: list[tuple[int, dict[str, np.ndarray]]] = []  # (first, key -> values)
        self._held_metrics: dict[tuple[str, int], float] = {}
        self._held_files: set[str] = set()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            self._lock(patience_seconds)
            crash_points.passing("journal.opened")
            for offset, line in read(self.path):
                if line.get("seq") != self._seq:
                    raise JournalDamagedError(
                        f"{self.path}: line {self._seq + 1} is missing (found number "
                        f"{line.get('seq')}). Restore the file from a copy, or start a new run"
                    )
                self._size = offset
                self._note(line)
                if line["kind"] == "updates":
                    values = {k: decode_array(v) for k, v in line["values"].items()}
                    self._held_updates.append((line["first"], values))
                elif line["kind"] == "metrics":
                    for key, value in line["values"].items():
                        self._held_metrics[key, line["step"]] = value
            if os.fstat(self._descriptor).st_size > self._size:
                os.ftruncate(self._descriptor, self._size)  # the torn tail of a killed process
            if self._size == 0:
                sync_folder(self.path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, kind: str, **fields: Any) -> None:
        """Write one line. StorageError (a full disk): nothing of the line stays in the file."""
        now = time.time_ns() // 1_000_000
        line = {"seq": self._seq, "t": now, "kind": kind, **fields}
        raw = encode_line(line)
        crash_points.passing("journal.append")
        try:
            written = os.write(self._descriptor, raw)
            if written != len(raw):
                raise OSError(errno.ENOSPC, "no space left for a whole line")
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise storage.refused(self.path, error, len(raw)) from error
        crash_points.passing("journal.appended")
        self._size += len(raw)
        self._note(line)

    def updates(self, first: int, values: dict[str, np.ndarray]) -> JournalDisagreementError | None:
        """Append one value an update, for the updates `first`, `first + 1`, ... (counted from 1).

        values: key -> float32 (count,). Those already held are compared instead; the first
        disagreement is returned, and the rest is written all the same.
        """
        count = len(next(iter(values.values())))
        arrays = {key: np.asarray(value, dtype="<f4") for key, value in values.items()}
        disagreement = None
        if self._held_updates:
            disagreement = self._compare_updates(first, count, arrays)
        skip = min(max(self.last_update + 1 - first, 0), count)
        if skip < count:
            encoded = {key: encode_array(value[skip:]) for key, value in arrays.items()}
            self.append("updates", first=first + skip, count=count - skip, values=encoded)
            self._held_updates.clear()  # past all that was held
        return disagreement

    def metrics(self, step: int, values: dict[str, float]) -> JournalDisagreementError | None:
        """Append the metrics of epoch `step` (from 1); those held are compared instead."""
        fresh: dict[str, float] = {}
        disagreement = None
        for key, raw in values.items():
            value = float(raw)
            held = self._held_metrics.get((key, step))
            if held is None:
                fresh[key] = value
            elif not _same(held, value) and not key.startswith(NOT_COMPARED):
                disagreement = disagreement or JournalDisagreementError(key, step, held, value)
        if fresh:
            self.append("metrics", step=step, values=fresh)
        return disagreement

    def holds(self, kind: str, **fields: Any) -> bool:
        """Whether an artifact or a model was recorded in the same words, by any attempt."""
        return _words({"kind": kind, **fields}) in self._held_files

    def measured(self, key: str, step: int, value: float) -> bool:
        """Whether the metric `key` had this value at `step` when the file was opened."""
        held = self._held_metrics.get((key, step))
        return held is not None and _same(held, value)

    def sync(self) -> None:
        """Flush to disk all that was appended (some milliseconds on a disk). StorageError."""
        crash_points.passing("journal.flush")
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise storage.refused(self.path, error, self._size) from error
        crash_points.passing("journal.flushed")

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self, patience_seconds: float) -> None:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise JournalBusyError(
                        f"{self.path.parent} is being written by another process: "
                        "wait for it, or stop it"
                    ) from None
                time.sleep(0.02)
            except OSError:
                return  # a file system without locks: the run's identity still guards it

    def _note(self, line: Line) -> None:
        kind = line["kind"]
        self._seq += 1
        if kind == "updates":
            self.last_update = max(self.last_update, line["first"] + line["count"] - 1)
        elif kind == "metrics":
            self.epochs_done = max(self.epochs_done, line["step"])
        elif kind == "begin":
            self.attempts, self.ended = self.attempts + 1, None
        elif kind == "end":
            self.ended = line
        elif kind in ("artifact", "model"):
            self._held_files.add(_words(line))

    def _compare_updates(
        self, first: int, count: int, values: dict[str, np.ndarray]
    ) -> JournalDisagreementError | None:
        for start, held in self._held_updates:
            for key, array in values.items():
                if key not in held:
                    continue
                low = max(first, start)
                high = min(first + count, start + len(held[key]))
                if low >= high:
                    continue
                before = held[key][low - start : high - start]
                now = array[low - first : high - first]
                differs = before.view("<u4") != now.view("<u4")
                if differs.any():
                    at = int(np.argmax(differs))
                    return JournalDisagreementError(
                        key, low + at, float(before[at]), float(now[at])
                    )
        return None


def _words(line: Line) -> str:
    return json.dumps(
        {key: value for key, value in line.items() if key not in ("seq", "t")}, sort_keys=True
    )


def _same(left: float, right: float) -> bool:
    return struct.pack("<d", left) == struct.pack("<d", right) or (left != left and right != right)

"""Predictions as a file: `.csv`, `.npy` or `.npz`."""

import csv
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from src.errors import UserError

KINDS = (".csv", ".npy", ".npz")


Kind = Literal["probability", "score", "output"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model gives for each row.

    values: float32 (rows, outputs), or (rows, positions, outputs).
    class_names: one for each output; empty for real values.
    kind: of the values. A `score` orders the classes without being a probability.
    """

    values: np.ndarray
    class_names: tuple[str, ...]
    kind: Kind


def check_output(path: Path, overwrite: bool) -> None:
    """Whether the file can be written.

    Raises:
        UserError: it is of another kind, exists, or its folder doesn't.
    """
    if path.suffix not in KINDS:
        raise UserError(f"output={path}: allowed are files that end with {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise UserError(f"output={path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UserError(f"output={path}: that is a folder; give a file")
    if path.exists() and not overwrite:
        raise UserError(f"output={path}: it exists; overwrite=true replaces it")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"output={path}: {path.parent} can't be written to; choose another folder")


def write(path: Path, predictions: Predictions, overwrite: bool) -> None:
    """Write them, whole or not at all.

    csv: a line of headings, then `class` and a column for each class; real values have `output_N`.
    npy: the values. npz: `values`, and for classes `class` and `class_names`.

    Raises:
        UserError: the file has appeared meanwhile, or the disk refuses.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with aside.open("xb") as file:
                _WRITERS[path.suffix](file, predictions)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                aside.replace(path)
            else:
                os.link(aside, path)  # unlike a rename, fails when the name exists
        finally:
            aside.unlink(missing_ok=True)
    except FileExistsError as error:
        raise UserError(f"output={path}: it exists; overwrite=true replaces it") from error
    except OSError as error:
        raise UserError(f"output={path}: {error.strerror or error}") from error


def _write_csv(file: IO[bytes], predictions: Predictions) -> None:
    names = predictions.class_names
    if names:
        headings = ["class", *(f"{predictions.kind} {name}" for name in names)]
    else:
        headings = [f"output_{number}" for number in range(predictions.values.shape[1])]
    _write_line(file, headings)
    for row in predictions.values:
        chosen = [names[int(row.argmax())]] if names else []
        # Nine digits give every float32 back.
        _write_line(file, [*chosen, *(f"{value:.9g}" for value in row.tolist())])


def _write_line(file: IO[bytes], cells: list[str]) -> None:
    lines: list[str] = []
    csv.writer(_Lines(lines), lineterminator="\n").writerow(cells)
    file.write(lines[0].encode())


class _Lines:
    """What csv.writer writes to, as text."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def write(self, text: str) -> int:
        """Take a line."""
        self._lines.append(text)
        return len(text)


def _write_npy(file: IO[bytes], predictions: Predictions) -> None:
    np.save(file, predictions.values, allow_pickle=False)


def _write_npz(file: IO[bytes], predictions: Predictions) -> None:
    arrays: dict[str, Any] = {"values": predictions.values}
    if predictions.class_names:
        arrays["class"] = predictions.values.argmax(axis=-1)
        arrays["class_names"] = np.array(predictions.class_names)
    np.savez(file, **arrays)


_WRITERS = {".csv": _write_csv, ".npy": _write_npy, ".npz": _write_npz}

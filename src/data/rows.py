"""Rows without labels, out of a file of the user's: `.npy`, `.npz` or `.csv`."""

import math
from pathlib import Path

import numpy as np

from src.data.check import check_array
from src.errors import UserError

ARRAYS = (".npy", ".npz")
KINDS = (*ARRAYS, ".csv")


def read(path: Path, input_shape: tuple[int, ...], array: str = "") -> np.ndarray:
    """The rows of a file, `(rows, *input_shape)`; a .npy file is mapped, not read.

    A .csv file has a line of numbers for each row, in the order of `x.reshape(rows, -1)`, and may
    open with a line of names.

    Args:
        path: the file.
        input_shape: of a row.
        array: which one of a .npz file; by default `x`, or the only one.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    if path.suffix not in KINDS:
        raise UserError(f"input={path}: allowed are files that end with {', '.join(KINDS)}")
    if not path.is_file():
        raise UserError(f"input={path}: no such file")
    if array and path.suffix != ".npz":
        raise UserError(f"array={array}: only a .npz file holds arrays by name; leave it out")
    x = _read_csv(path, input_shape) if path.suffix == ".csv" else _read_arrays(path, array)
    if x.ndim and x.shape[1:] != input_shape:
        hint = "; add an axis: x[None]" if x.shape == input_shape else ""
        raise UserError(
            f"input={path}: it has shape {x.shape}, the run's model takes "
            f"{_shape(input_shape)}{hint}"
        )
    check_array(x, f"input={path}")
    return x


def _read_arrays(path: Path, name: str) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            chosen = name or ("x" if "x" in names else names[0] if len(names) == 1 else "")
            if chosen in names:
                return np.asarray(archive[chosen])
    except Exception as error:  # a damaged file can raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in reason or "Python objects" in reason:
            reason = "it holds Python objects, which are never loaded"
        raise UserError(f"input={path}: can't be read ({reason})") from error
    wanted = f"there is no array {name}" if name else "there is no array x"
    raise UserError(f"input={path}: {wanted}; choose one by array=NAME: {', '.join(names)}")


def _read_csv(path: Path, input_shape: tuple[int, ...]) -> np.ndarray:
    width = math.prod(input_shape)
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
            skipped = 1 if _is_header(first) else 0
        values = np.loadtxt(
            path, delimiter=",", skiprows=skipped, ndmin=2, encoding="utf-8-sig", comments=None
        )
    except (OSError, ValueError) as error:
        text = str(error).splitlines()[0].split("; use `")[0]
        raise UserError(f"input={path}: can't be read ({text})") from error
    if values.size and values.shape[1] != width:
        raise UserError(
            f"input={path}: it has {values.shape[1]} columns, the run's model takes rows of "
            f"{width} numbers {_shape(input_shape)}"
        )
    return values.reshape(-1, *input_shape)


def _is_header(line: str) -> bool:
    """Whether no cell is a number: a row with one bad cell is to be refused, not skipped."""
    return bool(line.strip(", \r\n")) and not any(map(_is_number, line.split(",")))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shape(input_shape: tuple[int, ...]) -> str:
    return f"({', '.join(['rows', *map(str, input_shape)])})"

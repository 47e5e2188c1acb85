"""The user's own arrays: a .npz file, or a folder of .npy files."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from src.data.array_labels import label_kind
from src.data.source import Arrays, Source
from src.errors import UserError

NAMES = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "x", "y")
NEEDED = "x_train and y_train (x_val, y_val, x_test, y_test at will), or x and y"


def load(
    *,
    path: str | None,
    task: Literal["auto", "classification", "regression"],
    num_classes: Annotated[int, Field(gt=1)] | None,
    streaming: bool | Literal["auto"],
) -> Source:
    """Read x_train, y_train[, x_val, y_val][, x_test, y_test], or x, y.

    Object arrays, which only unpickling could read, are refused: no file can run code here.

    Args:
        path: the .npz file or the folder of .npy files.
        task: what the labels mean; `src.data.array_labels` says how auto decides.
        num_classes: None to take it from the labels.
        streaming: whether rows stay in their files while training, which takes .npy files.

    Raises:
        UserError: naming the file and what is missing, damaged or ambiguous in it.
    """
    if path is None:
        raise UserError(
            "data.path: data=arrays needs your file; give data.path=FILE.npz, or a folder of .npy "
            f"files, with {NEEDED}"
        )
    place = Path(path).expanduser()
    if place.is_dir():
        arrays = _read_folder(place)
    elif place.is_file():
        arrays = _read_npz(place)
    else:
        raise UserError(f"data.path={path}: no such file or folder; it needs {NEEDED}")
    splits = _splits(arrays, place)
    kind, labels = label_kind({name: y for name, (_, y) in splits.items()}, task, str(place))
    if kind == "real" and num_classes is not None:
        raise UserError(
            f"data.num_classes={num_classes}: {place} is taken as regression, which has no "
            "classes; leave it out, or give data.task=classification"
        )
    made = {name: (x, labels[name]) for name, (x, _) in splits.items()}
    return Source(
        name=place.stem,
        train=made["train"],
        val=made.get("val"),
        test=made.get("test"),
        labels=kind,
        num_classes=num_classes,
        class_names=(),
        source=str(place),
        streaming=streaming,
    )


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: not a .npz file; write one with numpy.savez(FILE, x_train=..., y_train=...)"
        )
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path}: can't be read ({_short(error)})") from error
    arrays = {}
    with archive:
        _check_names(archive.files, path)
        _check_size(archive.zip, path)
        for name in set(archive.files).intersection(NAMES):
            try:
                arrays[name] = archive[name]
            except Exception as error:
                raise UserError(f"{path}: array {name} can't be read ({_short(error)})") from error
    return arrays


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """A few megabytes of compressed zeros unpack to more than any memory holds."""
    unpacked = sum(member.file_size for member in archive.infolist())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if unpacked > memory:
        raise UserError(
            f"{path}: unpacked it takes {unpacked / 2**30:,.0f} GiB, and there are "
            f"{memory / 2**30:,.0f} GiB of memory; a folder of .npy files is read as needed"
        )


def _read_folder(folder: Path) -> dict[str, np.ndarray]:
    files = {path.stem: path for path in folder.glob("*.npy") if path.is_file()}
    _check_names(list(files), folder)
    arrays = {}
    for name in set(files).intersection(NAMES):
        try:
            # Mapped, not read: pages come in as they are used and may go again.
            arrays[name] = np.load(files[name], mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged file can raise nearly anything
            raise UserError(f"{files[name]}: can't be read ({_short(error)})") from error
    return arrays


def _check_names(names: list[str], place: Path) -> None:
    """A misspelt x_valid would otherwise be left out in silence."""
    for name in sorted(names):
        if name.startswith(("x_", "y_")) and name not in NAMES:
            raise UserError(f"{place}: unknown array {name}; it needs {NEEDED}")


def _splits(arrays: Mapping[str, np.ndarray], place: Path) -> dict[str, Arrays]:
    for name in arrays:
        if not isinstance(arrays[name], np.ndarray):
            raise UserError(f"{place}: {name} is not an array")
        partner = ("y" if name[0] == "x" else "x") + name[1:]
        if partner not in arrays:
            raise UserError(f"{place}: array {partner} is missing beside {name}; it needs {NEEDED}")
    if "x" in arrays and len(arrays) > 2:
        raise UserError(f"{place}: it holds both x and {sorted(arrays)[1]}; it needs {NEEDED}")
    if "x" in arrays:
        return {"train": (arrays["x"], arrays["y"])}
    if "x_train" not in arrays:
        raise UserError(f"{place}: arrays x_train and y_train are missing; it needs {NEEDED}")
    return {
        split: (arrays[f"x_{split}"], arrays[f"y_{split}"])
        for split in ("train", "val", "test")
        if f"x_{split}" in arrays
    }


def _short(error: Exception) -> str:
    if "pickle" in str(error) or "Python objects" in str(error):
        return "it holds Python objects, which are never loaded; save arrays of numbers"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__

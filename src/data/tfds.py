"""A data set that TensorFlow Datasets has prepared on this machine; nothing is ever downloaded."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np

from src import startup
from src.data.source import Arrays, Source
from src.errors import UserError

SPLITS = {"train": ("train",), "val": ("validation", "val"), "test": ("test",)}


def load(*, name: str | None, path: str, inputs: str | None, target: str | None) -> Source:
    """Read the folder that `tfds.load(name)` or a builder's `download_and_prepare` has written.

    Args:
        name: of the data set below `path`: NAME, NAME/CONFIG, NAME/VERSION or NAME/CONFIG/VERSION.
            Of several versions the newest is taken.
        path: TensorFlow Datasets' folder.
        inputs: the feature to learn from; None for what the data set itself says.
        target: the feature to predict; likewise.

    Returns:
        x (rows, *shape), y integers (rows,) for a class label, else numbers; the splits that it
        has. All of it is read into memory.

    Raises:
        UserError: when the package is missing, or the data set isn't prepared or of another kind.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise UserError(
            "data=tfds: it needs TensorFlow Datasets; pip install 'tensorflow-datasets>=4.9'"
        )
    root = Path(path).expanduser()
    if name is None:
        raise UserError(f"data.name: give a data set below {root}, such as data.name=mnist")
    folder = _prepared(root, name)
    startup.import_tensorflow()  # which the package would import without our settings
    import tensorflow_datasets as tfds

    try:
        # From its files alone: the package's own code for a data set could download.
        builder = tfds.builder_from_directory(folder)
        info = builder.info
        supervised = info.supervised_keys or (None, None)
        x_name = _feature("inputs", inputs or supervised[0], info.features)
        y_name = _feature("target", target or supervised[1], info.features)
        arrays = {}
        for split, names in SPLITS.items():
            own = next((each for each in names if each in info.splits), None)
            if own is not None:
                arrays[split] = _read(tfds, builder, own, x_name, y_name)
    except UserError:
        raise
    except Exception as error:  # damaged files can raise nearly anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{folder}: TensorFlow Datasets can't read it ({lines[0]})") from error
    if "train" not in arrays:
        raise UserError(f"{folder}: it has no split called train, only {', '.join(info.splits)}")
    label = info.features[y_name]
    classes = isinstance(label, tfds.features.ClassLabel)
    return Source(
        name=name.partition("/")[0],
        train=arrays["train"],
        val=arrays.get("val"),
        test=arrays.get("test"),
        labels="integer" if classes else "real",
        num_classes=label.num_classes if classes else None,
        class_names=tuple(label.names) if classes else (),
        source=str(folder),
    )


def _prepared(root: Path, name: str) -> Path:
    """The folder of a data set that holds its description, of the newest version."""
    place = root / name
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", name) or ".." in name:
        raise UserError(f"data.name={name}: give NAME, or NAME/CONFIG/VERSION, such as mnist")
    for depth in ("", "*/", "*/*/"):
        found = [file.parent for file in place.glob(f"{depth}dataset_info.json")]
        parents = {each.parent for each in found}
        if found and (depth == "" or len(parents) == 1):
            return max(found, key=_version)
        if found:
            choices = ", ".join(sorted(str(each.relative_to(root)) for each in parents))
            raise UserError(f"data.name={name}: it has several configurations; choose {choices}")
    there = sorted(each.name for each in root.iterdir() if each.is_dir()) if root.is_dir() else []
    known = f"; there are {', '.join(there[:20])}" if there else ""
    raise UserError(
        f"data.name={name}: it is not prepared in {root}{known}. Nothing is downloaded here; in "
        f"Python, tensorflow_datasets.load('{name}', data_dir='{root}') prepares it once"
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def _feature(key: str, name: str | None, features: Any) -> str:
    known = ", ".join(features)
    if name is None:
        raise UserError(f"data.{key}: the data set doesn't say which; choose from {known}")
    if not isinstance(name, str) or name not in features:
        raise UserError(f"data.{key}={name}: no such feature; choose from {known}")
    return name


def _read(tfds: Any, builder: Any, split: str, x_name: str, y_name: str) -> Arrays:
    rows = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False))
    pairs = [(np.asarray(row[x_name]), np.asarray(row[y_name])) for row in rows]
    shapes = {x.shape for x, _ in pairs}
    if len(shapes) > 1:
        first, second, *_ = sorted(shapes)
        raise UserError(
            f"data=tfds: rows of {x_name} in {split} have several shapes, such as {first} and "
            f"{second}; only data sets whose rows have one shape can be read"
        )
    return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])

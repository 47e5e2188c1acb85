"""Fashion-MNIST: 70,000 images of clothes, 28 x 28 pixels, ten classes (Xiao et al. 2017)."""

from pathlib import Path

import numpy as np

from src.data.idx import read_idx
from src.data.source import Arrays, Source
from src.errors import UserError

FILES = {"train": "train", "test": "t10k"}
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(*, path: str) -> Source:
    """Read the four IDX files, `.gz` or plain, from the folder `path`.

    Returns:
        x uint8 (60000, 28, 28, 1), y uint8 (60000,), and 10,000 rows for test; no validation split.

    Raises:
        UserError: naming the file that is absent or damaged, and how to get it.
    """
    folder = Path(path).expanduser()
    return Source(
        name="fashion_mnist",
        train=_read(folder, "train"),
        val=None,
        test=_read(folder, "test"),
        labels="integer",
        num_classes=len(CLASSES),
        class_names=CLASSES,
        source=str(folder),
    )


def _read(folder: Path, split: str) -> Arrays:
    images_path = _find(folder, f"{FILES[split]}-images-idx3-ubyte")
    labels_path = _find(folder, f"{FILES[split]}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, axes=3), read_idx(labels_path, axes=1)
    if len(images) != len(labels):
        raise UserError(
            f"{labels_path}: {len(labels)} labels for the {len(images)} images of "
            f"{images_path.name}; the files don't belong together"
        )
    return images[..., np.newaxis], labels


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise UserError(
        f"data.path={folder}: no file {name}.gz there; install Debian's package "
        "dataset-fashion-mnist, or put the four files of "
        "https://github.com/zalandoresearch/fashion-mnist into a folder and give data.path=FOLDER"
    )

"""The user's own pictures: one folder a class, PNG or JPEG."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from src.data.pixel_file import open_or_write
from src.data.source import Source
from src.data.stored import too_large
from src.errors import UserError

READ = (".png", ".jpg", ".jpeg")
# Pictures too, which must not be left out in silence.
REFUSED = (".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".avif")
LAYOUT = "give a folder with a folder of PNG or JPEG files for each class, or such ones in train/"


def load(
    *,
    path: str | None,
    height: Annotated[int, Field(gt=0)],
    width: Annotated[int, Field(gt=0)],
    channels: Literal[1, 3],
    streaming: bool | Literal["auto"],
    cache: str,
    room: int | None = None,
    scored: bool = False,
) -> Source:
    """Read PATH/CLASS/*.png, or PATH/train/CLASS/*.png and likewise val and test.

    Pictures are turned as their EXIF data says and resized to one size, whatever their shape. What
    is transparent becomes white; of 16 bits a channel the upper 8 are kept.

    Args:
        path: of the folder.
        height: of the pictures afterwards, in pixels.
        width: likewise.
        channels: 1 for grey, 3 for red, green and blue.
        streaming: whether the pixels are kept in a file and read as they are used; `auto`: where
            they would take too much of the memory.
        cache: folder for that file.
        room: free memory in bytes; None where it is not known.
        scored: the pictures are for a model that is trained already: one class will do.

    Returns:
        x uint8 (rows, height, width, channels), y int64 (rows,), classes in order of their names.

    Raises:
        UserError: naming the folder or the picture that is absent, broken or of another kind.
    """
    if path is None:
        raise UserError(f"data.path: {LAYOUT}")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"data.path={path}: no such folder; {LAYOUT}")
    splits = _splits(folder)
    classes = _folders(splits["train"])
    if len(classes) < (1 if scored else 2):
        raise UserError(
            f"{splits['train']}: {len(classes)} folders, but there is a class for each and nothing "
            f"to learn from less than two; {LAYOUT}"
        )
    found = {}
    for name, place in splits.items():
        foreign = sorted(set(_folders(place)) - set(classes))
        if foreign:
            raise UserError(f"{place / foreign[0]}: no such class in {splits['train']}")
        found[name] = _find(place, classes)
    shape = (height, width, channels)
    pictures = sum(len(files) for files, _ in found.values())
    if streaming == "auto":
        streaming = too_large(pictures * height * width * channels, room)
    read = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding lets other threads run
        decoded = partial(pool.map, partial(_decode, shape=shape))
        for name, (files, labels) in found.items():
            if streaming:
                x = open_or_write(Path(cache).expanduser(), files, shape, decoded)
            else:
                x = np.empty((len(files), *shape), np.uint8)
                for row, pixels in enumerate(decoded(files)):
                    x[row] = pixels
            read[name] = x, labels
    return Source(
        name=folder.name or "pictures",
        train=read["train"],
        val=read.get("val"),
        test=read.get("test"),
        labels="integer",
        num_classes=len(classes),
        class_names=tuple(classes),
        source=str(folder),
        streaming=bool(streaming),
    )


def _splits(folder: Path) -> dict[str, Path]:
    """The folders of classes: the folder itself, or those of its splits."""
    if "train" not in _folders(folder):
        return {"train": folder}
    for name in _folders(folder):
        if name not in ("train", "val", "test"):
            raise UserError(f"{folder / name}: beside train/ allowed are val/ and test/")
    return {name: folder / name for name in ("train", "val", "test") if (folder / name).is_dir()}


def _folders(place: Path) -> list[str]:
    return sorted(
        each.name for each in place.iterdir() if each.is_dir() and not each.name.startswith(".")
    )


def _find(place: Path, classes: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """The pictures of a split and their labels, int64."""
    files: list[Path] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        found = _pictures(place / name) if (place / name).is_dir() else []
        files += found
        labels += [number] * len(found)
    if not files:
        raise UserError(f"{place}: no pictures in its folders; {LAYOUT}")
    return files, np.array(labels, np.int64)


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a class in order of their names."""
    found = []
    for file in sorted(folder.iterdir()):
        kind = file.suffix.lower()
        if file.name.startswith(".") or not file.is_file():
            continue
        if kind in REFUSED:
            raise UserError(f"{file}: it is neither PNG nor JPEG; convert it, or move it away")
        if kind in READ:
            found.append(file)
    if not found:
        raise UserError(f"{folder}: no PNG or JPEG files in it; {LAYOUT}")
    return found


def _decode(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    height, width, channels = shape
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as picture:
            turned = ImageOps.exif_transpose(picture)
            if turned.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                turned = Image.fromarray((np.asarray(turned) // 257).astype(np.uint8))
            if turned.has_transparency_data:
                page = Image.new("RGBA", turned.size, "white")
                turned = Image.alpha_composite(page, turned.convert("RGBA"))
            converted = turned.convert("L" if channels == 1 else "RGB")
            resized = converted.resize((width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # a broken picture can raise nearly anything
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"{file}: can't be read as a PNG or JPEG picture ({lines[0]}); replace or remove it"
        ) from error
    return np.asarray(resized, np.uint8).reshape(shape)

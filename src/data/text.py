"""Text, character by character: each row a piece of it, each label the character that follows."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from src.data.source import Arrays, Source
from src.errors import UserError


def load(
    *,
    path: str | None,
    length: Annotated[int, Field(gt=1)],
    characters: Annotated[int, Field(gt=1)] | None,
    validation_fraction: float,
    test_fraction: float,
) -> Source:
    """Cut a text into pieces of `length` characters, one after another.

    The last pieces are for test, those before them for validation: a model is judged by pages that
    it hasn't read. The vocabulary is the characters of the whole text, in the order of their codes.

    Args:
        path: of a text file in UTF-8; None takes Python's reference manual, as `help()` shows it.
        length: of a piece, in characters.
        characters: how many to read at most; None for all.
        validation_fraction: of the pieces.
        test_fraction: likewise.

    Returns:
        x int32 (rows, length), and y int32 (rows, length), the character after each of them.

    Raises:
        UserError: naming the file that is absent, no text, or too short.
    """
    text, source = _read(path)
    text = text[:characters]
    rows = (len(text) - 1) // length
    wanted = {"test": test_fraction, "val": validation_fraction}
    counts = {name: max(1, round(rows * part)) if part else 0 for name, part in wanted.items()}
    if sum(counts.values()) >= rows:
        raise UserError(
            f"{source}: {len(text)} characters make {rows} rows of data.length={length}, too few "
            "to train, validate and test on; give more text or a smaller data.length"
        )
    if not counts["val"]:
        raise UserError("data.validation_fraction=0: give a fraction above 0")
    names, codes = np.unique(np.array(list(text)), return_inverse=True)
    if len(names) < 2:
        raise UserError(
            f"{source}: it holds {str(names[0])!r} alone; there is nothing to learn from it"
        )
    codes = codes.astype(np.int32)
    x = codes[: rows * length].reshape(rows, length)
    y = codes[1 : rows * length + 1].reshape(rows, length)

    def piece(begin: int, end: int) -> Arrays:
        return x[begin:end].copy(), y[begin:end].copy()

    train_rows = rows - counts["val"] - counts["test"]
    return Source(
        name="text" if path is None else Path(path).stem,
        train=piece(0, train_rows),
        val=piece(train_rows, rows - counts["test"]),
        test=piece(rows - counts["test"], rows) if counts["test"] else None,
        labels="integer",
        num_classes=len(names),
        class_names=tuple(_shown(str(name)) for name in names),
        source=source,
        vocabulary=len(names),
    )


def _read(path: str | None) -> tuple[str, str]:
    """The text, and where it is from."""
    if path is None:
        try:
            from pydoc_data.topics import topics  # half a million characters that Python brings
        except ImportError as error:
            raise UserError(
                "data.path: this Python comes without its manual; give data.path=FILE, a text"
            ) from error
        return "\n".join(topics[name] for name in sorted(topics)), "Python's reference manual"
    place = Path(path).expanduser()
    if not place.is_file():
        raise UserError(f"data.path={path}: no such file; give a text file in UTF-8")
    try:
        text = place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: it is no text in UTF-8 (byte {error.start})") from error
    if not text:
        raise UserError(f"{place}: it is empty")
    return text, str(place)


def _shown(character: str) -> str:
    """A character as a picture's axis can show it."""
    if character.isprintable() and not character.isspace():
        return character
    return "space" if character == " " else character.encode("unicode_escape").decode("ascii")

"""Negative controls: each function takes out of this process what keeps one promise.

What holds the promise must then find it broken; a check that doesn't is worth nothing.
"""

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def no_rename() -> None:
    """Checkpoints are written in place: into the folder under its final name."""
    from src.engine import checkpoint

    rename, mkdir = Path.rename, Path.mkdir
    write, flush = checkpoint._write, checkpoint._flush_folder

    def in_place(path: Path) -> Path:
        return path.with_name(path.name.split(".")[1]) if path.name.startswith(".0") else path

    def move(path: Path, target: Any) -> Path:
        return in_place(path) if in_place(path) == target else rename(path, target)

    replace(Path, "mkdir", lambda path, *a, **given: mkdir(in_place(path), *a, **given))
    replace(Path, "rename", move)
    replace(checkpoint, "_write", lambda p, content: write(in_place(p.parent) / p.name, content))
    replace(checkpoint, "_flush_folder", lambda folder: flush(in_place(folder)))


def no_digest() -> None:
    """A checkpoint's files are not held against their digests."""
    from src.engine import checkpoint

    class Anything(dict[str, Any]):
        __hash__ = None

        def __ne__(self, other: object) -> bool:
            return False

    digest = checkpoint._digest
    replace(checkpoint, "_digest", lambda content: Anything(digest(content)))


def no_journal_checksum() -> None:
    """A line of the journal is taken as it is."""
    from src.tracking import journal

    decode = journal.decode_line
    replace(
        journal,
        "decode_line",
        lambda raw: decode(b"%08x %s" % (zlib.crc32(raw[9:]), raw[9:])),
    )


def cursor_before_answer() -> None:
    """The cursor advances before the store has it safe."""
    from src.tracking.sqlite_store import SqliteStore

    replace(SqliteStore, "after", lambda store, key, action: action())


def cursor_never() -> None:
    """The cursor stays where it is."""
    from src.tracking.delivery import FolderDelivery

    note = FolderDelivery.note

    def stay(delivery: FolderDelivery, **changes: Any) -> None:
        delivery.state.update(cursor=0, part=0, seq=-1)
        note(delivery, **changes)

    replace(FolderDelivery, "note", stay)


_replaced: list[tuple[Any, str, Any]] = []


def replace(owner: Any, name: str, value: Any) -> None:
    """Put `value` in the place of something that is there."""
    _replaced.append((owner, name, getattr(owner, name)))
    setattr(owner, name, value)


@contextlib.contextmanager
def sabotaged(name: str) -> Iterator[None]:
    """Within it, what the function `name` takes out of this process is missing."""
    globals()[name]()
    try:
        yield
    finally:
        while _replaced:
            setattr(*_replaced.pop())

"""Damaged bytes: flipped and cut off, at sampled places of every file of a checkpoint."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.engine.checkpoint import Checkpoints
from src.tracking import journal
from src.tracking.journal import JournalDamagedError
from tests.torture.bench import Bench

KINDS = ("flipped", "truncated")


def offsets(path: Path, count: int, generator: random.Random) -> list[int]:
    """The first and the last byte and some between them."""
    size = path.stat().st_size
    sampled = generator.sample(range(1, size - 1), min(max(count - 2, 0), size - 2))
    return [0, size - 1, *sampled]


def damage(path: Path, kind: str, offset: int) -> None:
    """Flip a bit of the byte at `offset`, or a digit that stands there, or cut the file off."""
    content = path.read_bytes()
    if kind == "digit":
        digit = b"7" if content[offset : offset + 1] != b"7" else b"3"
        path.write_bytes(content[:offset] + digit + content[offset + 1 :])
    elif kind == "flipped":
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 0x10]) + content[offset + 1 :])
    else:
        path.write_bytes(content[:offset])


def checkpoint_damaged(run: Path, scratch: Path, name: str, kind: str, offset: int) -> list[str]:
    """The newest checkpoint is named and set aside, the one before it used."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(run / "checkpoints", scratch)
    [before, newest] = sorted(scratch.glob("[0-9]*"))
    expected = Checkpoints(scratch).newest(print)
    damage(newest / name, kind, offset)
    warnings: list[str] = []
    found = Checkpoints(scratch).newest(warnings.append)
    if found is None:
        return [f"no checkpoint is left: {warnings}"]
    if found.folder == newest:
        same = expected is not None and all(
            np.array_equal(found.last[key], value, equal_nan=True)
            for key, value in expected.last.items()
        )
        return [f"it was restored as if it were whole ({'equal' if same else 'other'} values)"]
    problems = []
    if found.folder != before:
        problems.append(f"{found.folder.name} was restored, not {before.name}")
    if len(warnings) != 1 or newest.name not in warnings[0]:
        problems.append(f"what is said of it: {warnings}")
    if newest.exists() or not newest.with_name(f"damaged-{newest.name}").is_dir():
        problems.append("it was not set aside")
    return problems


def journal_damaged(run: Path, scratch: Path, kind: str, offset: int) -> list[str]:
    """A damaged line is told, or it is the last one and dropped: no other value is ever read."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    path = scratch / journal.FILE_NAME
    shutil.copyfile(run / journal.FILE_NAME, path)
    whole = [line for _, line in journal.read(path)]
    damage(path, kind, offset)
    try:
        found = [line for _, line in journal.read(path)]
    except JournalDamagedError as error:
        return [] if str(path) in str(error) else [f"it does not say which file: {error}"]
    if found != whole[: len(found)]:
        return ["other values were read"]
    if kind == "flipped" and len(found) != len(whole) - 1:
        return [f"{len(found)} of {len(whole)} lines were read, and nothing was said"]
    return []


def section(bench: Bench, count: int, seed: int) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, 1, what is wrong) of each damaged byte."""
    generator = random.Random(seed)
    run, scratch = bench.tiny.folder, bench.folder / "scratch"
    newest = max((run / "checkpoints").glob("[0-9]*"))
    for path in sorted(newest.iterdir()):
        for offset in offsets(path, count, generator):
            for kind in KINDS:
                problems = checkpoint_damaged(run, scratch, path.name, kind, offset)
                where = f"{path.name} {kind} at {offset}"
                yield f"checkpoint's byte {kind}", 1, [f"{where}: {text}" for text in problems]
    for offset in offsets(run / journal.FILE_NAME, count, generator):
        for kind in KINDS:
            problems = journal_damaged(run, scratch, kind, offset)
            where = f"journal {kind} at {offset}"
            yield f"journal's byte {kind}", 1, [f"{where}: {text}" for text in problems]
    yield "a run goes on from the one before a damaged checkpoint", 1, _resumed(bench, generator)


def _resumed(bench: Bench, generator: random.Random) -> list[str]:
    """A whole run goes on from the checkpoint before a damaged one, to the same bits."""
    outputs = bench.outputs()
    with bench.clean(outputs):
        words = bench.tiny.overrides
        bench.train(outputs, *words, crash="checkpoint.renamed:5", one_by_one=True)
        [newest] = sorted(outputs.glob("runs/*/checkpoints/[0-9]*"))[-1:]
        path = newest / "last.safetensors"
        damage(path, "flipped", generator.randrange(path.stat().st_size))
        return bench.go_on(outputs, bench.tiny)

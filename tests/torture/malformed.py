"""Malformed configurations and data files: refused in one line, before anything is written."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.torture.bench import Bench

LONGEST = 600  # characters of the line
CONFIGURATIONS = [
    "epochs=0",
    "epochs=-3",
    "epochs=many",
    "epochs=null",
    "seed=-1",
    "seed=1.5",
    "data.batch_size=-8",
    "data.batch_size=1e9",
    "optimizer.learning_rate=nan",
    "optimizer.learning_rate=inf",
    "optimizer.learning_rate=[0.1]",
    "metrics=accuracy",
    "monitor=val",
    "objective=test/loss",
    "checkpoint.keep=0",
    "checkpoint.every_seconds=0",
    "model.hidden=[3,-1]",
    "model.dropout=1.5",
    "tracking.uri=ftp://nowhere/x",
    "jit=maybe",
    "resume=",
]
FILES = [
    "csv: empty",
    "csv: no label column",
    "csv: ragged row",
    "csv: quote not closed",
    "csv: header twice",
    "csv: binary",
    "csv: one class",
    "npz: labels of another length",
    "npz: infinity",
    "npz: complex",
    "npz: text",
    "npz: no rows",
    "npz: three-dimensional labels",
    "npz: cut off in the directory",
    "npz: a folder",
    "npy: header cut off",
    "idx: wrong magic",
    "idx: cut off",
    "idx: labels of another length",
]


def overrides(kind: str, folder: Path) -> list[str]:
    """What asks for a file that is wrong in the way `kind` says; the file is made."""
    form, _, what = kind.partition(": ")
    return {"csv": _csv, "npz": _npz, "npy": _npy, "idx": _idx}[form](what, folder)


def _csv(what: str, folder: Path) -> list[str]:
    path = folder / "table.csv"
    contents = {
        "empty": b"",
        "no label column": b"a,b\n1,2\n3,4\n",
        "ragged row": b"a,y\n1,0\n2,1,7\n3,0\n",
        "quote not closed": b'a,y\n"1,0\n2,1\n',
        "header twice": b"a,a,y\n1,2,0\n3,4,1\n",
        "binary": bytes(range(256)) * 4,
        "one class": b"a,y\n1,0\n2,0\n3,0\n4,0\n5,0\n6,0\n7,0\n8,0\n9,0\n10,0\n",
    }
    path.write_bytes(contents[what])
    return ["data=csv", f"data.path={path}", "data.label=y"]


def _npz(what: str, folder: Path) -> list[str]:
    path = folder / "arrays.npz"
    x: Any = np.random.default_rng(0).random((12, 3), np.float32)
    y: Any = np.arange(12) % 3
    if what == "a folder":
        path.mkdir()
        return ["data=arrays", f"data.path={path}"]
    if what == "labels of another length":
        y = y[:-1]
    elif what == "infinity":
        x[5, 1] = np.inf
    elif what == "complex":
        x = x + 1j
    elif what == "text":
        x = np.full((12, 3), "word")
    elif what == "no rows":
        x, y = x[:0], y[:0]
    elif what == "three-dimensional labels":
        y = np.zeros((12, 2, 2))
    np.savez(path, x=x, y=y)
    if what == "cut off in the directory":
        path.write_bytes(path.read_bytes()[:-40])
    return ["data=arrays", f"data.path={path}"]


def _npy(what: str, folder: Path) -> list[str]:
    place = folder / "arrays"
    place.mkdir()
    for name in ("x", "y"):
        np.save(place / f"{name}.npy", np.zeros((4, 2)))
        path = place / f"{name}.npy"
        path.write_bytes(path.read_bytes()[:20])
    return ["data=arrays", f"data.path={place}"]


def _idx(what: str, folder: Path) -> list[str]:
    place = folder / "idx"
    place.mkdir()
    rows = {"labels of another length": 3}.get(what, 4)
    images = bytes((0, 0, 8, 3)) + np.array([4, 28, 28], ">u4").tobytes() + bytes(4 * 784)
    labels = bytes((0, 0, 8, 1)) + np.array([rows], ">u4").tobytes() + bytes(rows)
    if what == "wrong magic":
        images = b"\x07" + images[1:]
    for split in ("train", "t10k"):
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            stored = gzip.compress(content)
            if what == "cut off":
                stored = stored[: len(stored) // 2]
            (place / f"{split}-{name}-ubyte.gz").write_bytes(stored)
    return ["data=fashion_mnist", f"data.path={place}"]


def trial(bench: Bench, given: list[str]) -> list[str]:
    """What is wrong with how a command is refused."""
    outputs = bench.outputs(database=False)
    with bench.clean(outputs):
        words = ["tracking=none", "epochs=1", *given]
        ended = bench.zygote.run("src.train", *words, f"outputs={outputs / 'made'}")
        lines = [line for line in ended.said.splitlines() if not line.startswith("warning: ")]
        problems = []
        if ended.code != 2:
            problems.append(f"exit code {ended.code}")
        if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) > LONGEST:
            problems.append(f"it says {ended.said[-600:]!r}")
        if (outputs / "made").exists():
            problems.append("something was written")
        return problems


def section(bench: Bench) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, 1, what is wrong) of each configuration and each file."""
    for text in CONFIGURATIONS:
        found = [f"{text}: {problem}" for problem in trial(bench, [text])]
        yield "malformed configuration: one line, exit code 2", 1, found
    for kind in FILES:
        folder = bench.outputs(database=False)
        with bench.clean(folder):
            found = [f"{kind}: {problem}" for problem in trial(bench, overrides(kind, folder))]
            yield "malformed data file: one line, exit code 2", 1, found

"""Pictures of Fashion-MNIST's kind: the real ones, or made-up ones where they are absent."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from src.benchmarks.configuration import composed
from src.data import fashion_mnist
from src.data.source import Source
from src.errors import UserError

ALL = 60_000
PREPARED_ALIKE = (
    "data.batch_size=128",
    "data.evaluation_batch_size=2048",
    "data.normalisation=range",  # divided by 255, as the peers do it
    "data.validation_fraction=0.0833333",
)


def overrides(work: Path, rows: int = ALL) -> tuple[str, ...]:
    """The data's part of the command, for `rows` training rows before those for validation.

    The whole of the real data is read where it is; anything else is written to `work` first.
    """
    if rows == ALL and real() is not None:
        return ("data=fashion_mnist", *PREPARED_ALIKE)
    return ("data=arrays", f"data.path={json.dumps(str(file(work, rows)))}", *PREPARED_ALIKE)


def file(work: Path, rows: int) -> Path:
    """An .npz file of x_train, y_train, x_test, y_test, with a sixth of `rows` for testing."""
    path = work / f"images_{rows}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        source = real()
        if source is None or source.test is None:
            train, test = make(rows, 1), make(rows // 6, 2)
        else:
            train, test = (
                (x[:count], y[:count])
                for (x, y), count in ((source.train, rows), (source.test, rows // 6))
            )
        np.savez(path, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
    return path


@cache
def real() -> Source | None:
    """Fashion-MNIST where the configuration says it is; None when it is absent or damaged."""
    try:
        return fashion_mnist.load(path=str(folder()))
    except UserError:
        return None


def folder() -> Path:
    """Where the configuration looks for Fashion-MNIST's files."""
    return Path(composed(("data=fashion_mnist",)).data.arguments["path"]).expanduser()


def make(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a pattern for each of ten classes: uint8 (rows, 28, 28, 1) and (rows,)."""
    patterns = np.random.default_rng(0).integers(0, 128, (10, 28, 28, 1), dtype=np.uint8)
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, rows, dtype=np.uint8)
    noise = generator.integers(0, 128, (rows, 28, 28, 1), dtype=np.uint8)
    return noise + patterns[labels], labels

"""Whole sweeps, from the command to the prompt, against Keras `fit` with autologging."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.benchmarks import commands
from src.benchmarks.bench import Bench, Row, Skipped
from src.benchmarks.commands import python, train
from src.benchmarks.configuration import composed, fused_launcher
from src.benchmarks.result import Figure, Line, Target, compare_losses
from src.benchmarks.rounds import interleave
from src.job import load_data

EPOCHS = 3
DATA = ("data=random", "model=mlp", "optimizer=sgd", f"epochs={EPOCHS}")
RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
SAME_TRAINING = 0.03  # relative: Keras draws orders of its own
PEER = "Keras fit + mlflow.keras.autolog, one process"


def sweep_command(outputs: Path, axes: Mapping[str, Sequence[Any]], *more: str) -> list[str]:
    """The command of a multirun over all combinations, the last axis varying fastest."""
    swept = [f"{key}={','.join(map(str, values))}" for key, values in axes.items()]
    return train("-m", *DATA, *swept, f"outputs={outputs}", *more)


def children(folder: Path) -> list[float]:
    """The last training loss of each job of a sweep; NaN for one that has none."""
    found = sorted(
        (path for path in folder.iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
    )
    return [commands.summary(child)["metrics"].get("train/loss", float("nan")) for child in found]


def _keras_command(folder: Path, axes: Mapping[str, Sequence[Any]]) -> list[str]:
    """The Keras script's command for the same jobs, its data and list of jobs written first."""
    folder.mkdir(parents=True, exist_ok=True)
    config = composed(DATA)
    dataset, _ = load_data(config)
    assert dataset.test is not None
    for name, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        np.save(folder / f"x_{name}.npy", split.x)
        np.save(folder / f"y_{name}.npy", split.y)
    plain = {
        "optimizer.learning_rate": config.optimizer.learning_rate,
        "data.batch_size": config.data.batch_size,
        "seed": config.seed,
    }
    jobs = []
    for values in itertools.product(*axes.values()):
        job = plain | dict(zip(axes, values, strict=True))
        jobs.append({key.rpartition(".")[2]: value for key, value in job.items()})
    path = folder / "jobs.json"
    path.write_text(json.dumps({"epochs": EPOCHS, "jobs": jobs}), encoding="utf-8")
    return python("-m", "src.benchmarks.scripts.keras_sweep", str(path), str(folder / "keras"))


def _compare(
    bench: Bench,
    name: str,
    axes: Mapping[str, Sequence[Any]],
    *more: str,
    rounds: int,
    target: Target,
) -> Line:
    outputs = bench.work / name
    count = len(list(itertools.product(*axes.values())))
    title = f"{count}-job sweep, {' x '.join(key.rpartition('.')[2] for key in axes)}, {name}"
    harness, keras = sweep_command(outputs, axes, *more), _keras_command(outputs, axes)
    losses: dict[str, list[float]] = {}

    def run_harness() -> float:
        done = commands.run(harness)
        losses["harness"] = children(commands.newest(outputs, "sweeps/*"))
        return done.seconds

    def run_keras() -> float:
        done = commands.run(keras)
        losses["keras"] = commands.last_json(done)["losses"]
        return done.seconds

    samples = interleave(
        {"harness": run_harness, "keras": run_keras},
        rounds,
        lambda text: bench.say(f"{title}: {text}"),
    )
    check, same = _compare_all(losses["harness"], losses["keras"])
    return Line(
        title,
        Figure.of(samples["harness"], "s"),
        peer=PEER,
        theirs=Figure.of(samples["keras"], "s"),
        target=target,
        check=check,
        same=same,
    )


def _compare_all(ours: list[float], theirs: list[float]) -> tuple[str, bool]:
    """The comparison of the pair of jobs that differ most."""
    if len(ours) != len(theirs):
        return f"{len(ours)} jobs, peer {len(theirs)}", False
    pairs = zip(ours, theirs, strict=True)
    worst = max(pairs, key=lambda pair: abs(pair[0] - pair[1]) / abs(pair[0]))
    text, same = compare_losses(*worst, SAME_TRAINING)
    return f"greatest difference: {text}", same


def _basic(bench: Bench) -> list[Line]:
    count = 2 if bench.settings.quick else 4
    axes = {
        "optimizer.learning_rate": RATES[:count],
        "data.batch_size": (32, 64, 128, 256)[:count],
    }
    rounds = bench.settings.rounds(2)
    return [_compare(bench, "basic launcher", axes, rounds=rounds, target=Target("<=", 0.45))]


def _fused(bench: Bench) -> list[Line]:
    if not fused_launcher():
        raise Skipped("there is no hydra/launcher=fused yet")
    count = 2 if bench.settings.quick else 8
    axes = {"optimizer.learning_rate": RATES[:count], "seed": range(count)}
    fused = "hydra/launcher=fused"
    return [
        _compare(bench, "fused launcher", axes, fused, rounds=1, target=Target("<=", 0.08)),
    ]


BASIC = Row("sweep", "A 16-job sweep, learning rate x batch size", _basic)
FUSED = Row("fused_sweep", "A 64-job sweep, learning rate x seed, fused", _fused)

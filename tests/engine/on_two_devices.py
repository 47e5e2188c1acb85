"""Trains each of CASES on one device and on two logical CPU devices, in a process of its own.

    python -m tests.engine.on_two_devices PICTURES FOLDER

TensorFlow sets up its devices once in a process, so the tests' own process can't have two of them.
What it computed is left in FOLDER, one file a case; `test_distributed.py` compares.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import hydra_open, tiny_overrides

# 20 rows: batches of 7, 7 and 6 rows, of which the devices have 3 and 4, or 3 each.
UNEVEN = ("data.batch_size=7",)
CASES = {
    # 20 rows in batches of 19: the devices have 9 and 10 of them, and the last batch has one.
    "clipped by the global norm, one row left": (
        *(
            "optimizer=adam",
            "optimizer.global_clipnorm=0.1",
            "metrics=[accuracy,mean_squared_error]",
        ),
        *("data.batch_size=19", "data.evaluation_batch_size=3"),
    ),
    "accumulation and moving average": (
        *("optimizer=momentum", "accumulate=2", "ema.decay=0.5", *UNEVEN),
    ),
    "batch normalisation, augmentation, norms": (
        *("data=arrays", "data.path=PICTURES", "model=cnn", "model.filters=[3]"),
        *("model.dropout=0", "optimizer=momentum", "step.log_gradients=true", *UNEVEN),
        "augmentation=flip",
    ),
    "mixed precision": ("precision=mixed_float16", *UNEVEN),
    "dropout": ("model.hidden=[64]", "model.dropout=0.4", "optimizer.learning_rate=0.1"),
}
EPOCHS = 2


def main(pictures: str, folder: Path) -> None:
    """Train all cases."""
    from src import startup
    from src.strategy import StrategyConfig

    def set_up() -> None:
        from src.engine import strategies

        strategies.start(
            StrategyConfig(kind="mirrored", devices=2, wait_seconds=0, timeout_seconds=60)
        )

    startup.import_tensorflow(set_up)
    for number, overrides in enumerate(CASES.values()):
        given = [override.replace("PICTURES", pictures) for override in overrides]
        found: dict[str, Any] = dict(compare(given))
        np.savez(folder / f"{number}.npz", **found)


def compare(overrides: list[str]) -> dict[str, np.ndarray]:
    """The losses, metrics and final state on one device and on two, and in further ways."""
    from hydra import compose

    from src import programs
    from src.augmentations.augmentation import row_numbers
    from src.config import validate
    from src.fit import row_order
    from src.job import load_data

    found: dict[str, np.ndarray] = {}

    def train(name: str, *more: str, stop: bool = False) -> None:
        with hydra_open():
            config = validate(compose("config", overrides=[*tiny_overrides(*overrides), *more]))
        dataset, _ = load_data(config)
        program = programs.compiled([config], dataset)
        updates = program.updates_per_epoch
        rates = np.full((updates, 1), config.optimizer.learning_rate, np.float32)
        active = np.ones(1, bool)
        losses = []
        for epoch in range(EPOCHS):
            order = row_order(config.seed, epoch, program.rows)[None]
            numbers = row_numbers(config.seed, epoch, program.rows, program.numbers)[None]
            program.shuffle(order, numbers)
            losses.append(program.run(0, rates[:1], active))
            if stop:  # as a process that was killed here goes on: with nothing but the state
                held = program.snapshot()
                program = programs.compiled([config], dataset)
                program.shuffle(order, numbers)
                program.restore(held)
            losses.append(program.run(1, rates[1:], active))
            for kind, value in program.reported.items():
                found[f"{name}/{kind}/{epoch}"] = value
            for split, [metrics] in {
                "train": program.take_results(),
                "val": program.evaluate(dataset.val),
            }.items():
                for metric, number in metrics.items():
                    found[f"{name}/{split}/{metric}/{epoch}"] = np.array(number)
        found[f"{name}/losses"] = np.concatenate(losses)
        for key, value in program.snapshot().items():
            found[f"{name}/state/{key}"] = value
        model = program.model()
        found[f"{name}/predictions"] = model(dataset.val.x, training=False).numpy()

    train("one")
    train("two", "strategy=mirrored")
    if any("dropout=0.4" in override for override in overrides):
        train("stopped", "strategy=mirrored", stop=True)
    return found


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

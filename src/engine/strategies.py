"""The strategies of `tf.distribute` that `strategy=` chooses.

Devices are set up as TensorFlow's runtime starts, once in a process: `start` comes before that,
`make` after it.
"""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from src.augmentations.augmentation import Augmentation
from src.data.dataset import Dataset, Split
from src.engine.distributed import DistributedProgram
from src.engine.led import LedProgram
from src.errors import UserError
from src.steps.step import Step
from src.strategy import StrategyConfig
from src.workers.chief import Workers
from src.workers.cluster import VARIABLE

_multiworker: list[tf.distribute.Strategy] = []


def start(strategy: StrategyConfig) -> None:
    """Set up the devices; must precede the start of TensorFlow's runtime.

    With `multiworker` it waits until TensorFlow runs in all workers.

    Raises:
        UserError: there are fewer devices than asked for.
    """
    if strategy.kind == "mirrored":
        found = len(tf.config.list_physical_devices("GPU"))
        if found:
            _check_count(strategy.devices, found, "GPUs")
            return
        # Two can be tried on any machine.
        _check_count(strategy.devices, max(os.cpu_count() or 1, 2), "CPU cores")
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * strategy.devices,
        )
    elif strategy.kind == "multiworker":
        if len(tf.config.list_physical_devices("GPU")) > 1:
            raise UserError(
                "strategy=multiworker: each worker trains on one device; give it one GPU by "
                "CUDA_VISIBLE_DEVICES"
            )
        _multiworker.append(tf.distribute.MultiWorkerMirroredStrategy())


def make(strategy: StrategyConfig) -> tf.distribute.Strategy:
    """The strategy that is chosen, of several devices.

    Raises:
        UserError: TensorFlow was started in this process with fewer devices.
    """
    if strategy.kind == "multiworker":
        return _multiworker[-1]
    for kind in ("GPU", "CPU"):
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        if len(names) >= strategy.devices:
            # On a CPU the other ways add nothing; named, so that no warning compares them.
            add_up = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
            with _without_cluster():
                return tf.distribute.MirroredStrategy(
                    names[: strategy.devices], cross_device_ops=add_up
                )
    raise UserError(
        f"strategy.devices={strategy.devices}: TensorFlow has started with fewer devices in this "
        "process, for an earlier job of the sweep; give every job the same strategy"
    )


def program(
    step: Step,
    batches: tuple[Split, int, int],
    strategy: StrategyConfig,
    dataset: Dataset,
    workers: Workers | None,
    *,
    augmentation: Augmentation,
) -> DistributedProgram:
    """The program of `step` on the devices of a strategy.

    Args:
        step: what each device does.
        batches: the rows to train on, how many of them an update takes and how many an evaluation.
        strategy: any but `none`.
        dataset: its splits may be evaluated.
        workers: the other processes, for the one that leads them.
        augmentation: changes the rows that are trained on.

    Raises:
        UserError: the step, the batches or the process doesn't suit the strategy.
    """
    made = make(strategy)
    if workers is None:
        return DistributedProgram(step, *batches, strategy=made, augmentation=augmentation)
    return LedProgram(
        step,
        *batches,
        strategy=made,
        workers=workers,
        splits=splits(dataset),
        augmentation=augmentation,
    )


def splits(dataset: Dataset) -> dict[str, Split]:
    """The splits by name."""
    found = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {name: split for name, split in found.items() if split is not None}


@contextlib.contextmanager
def _without_cluster() -> Iterator[None]:
    """Within it TF_CONFIG is not there: TensorFlow would look for other processes."""
    kept = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[VARIABLE] = kept


def _check_count(wanted: int, found: int, kind: str) -> None:
    if wanted > found:
        raise UserError(
            f"strategy.devices={wanted}: this machine has {found} {kind}; give at most as many"
        )

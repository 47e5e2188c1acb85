"""A worker of `strategy=multiworker` that is not the chief: it does what the chief does.

It writes nothing and prints nothing but errors: the run is the chief's alone.
"""

import os
import sys
from typing import NoReturn

from omegaconf import DictConfig

from src import job, startup
from src.config import Config, validate
from src.console import warn
from src.errors import EXIT_FAILED, UserError
from src.workers import cluster
from src.workers.cluster import Cluster
from src.workers.follower import Chief


def place(composed: DictConfig) -> Cluster | None:
    """This process' place among the workers; None where it has no others.

    Raises:
        UserError: the configuration is wrong, or TF_CONFIG doesn't say it.
    """
    strategy = validate(composed).strategy
    if strategy.kind == "multiworker":
        return cluster.read(strategy.devices)
    if os.environ.get(cluster.VARIABLE):
        warn(f"{cluster.VARIABLE} is set, but strategy={strategy.kind}: this process trains alone")
    return None


def follow(composed: DictConfig, overrides: list[str], own: Cluster) -> NoReturn:
    """Join the chief in training, and end the process with the chief's exit code.

    Raises:
        UserError: the configuration or the data is wrong, or not the chief's.
    """
    config = validate(composed)
    if config.resume not in (False, "auto"):  # which run that is, the chief finds out
        config = job.prepare(composed, overrides).config
    dataset, _ = job.load_data(config)
    chief = Chief(own, config, dataset.digest)
    try:
        startup.import_tensorflow(lambda: set_up(config))
        chief.forward_signals()
        from src import programs  # needs TensorFlow
        from src.engine import led, strategies

        program = programs.compiled([config], dataset)
        code = led.follow(program, chief, strategies.splits(dataset))
    except UserError as error:
        chief.failed(str(error))
        raise
    except Exception as error:  # the chief ends the run and says why
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        chief.failed(reason)
        print(f"error: {reason}", file=sys.stderr, flush=True)
        sys.exit(EXIT_FAILED)
    sys.exit(code)


def set_up(config: Config) -> None:
    """Set up the devices that a run trains on, before TensorFlow's runtime starts.

    Raises:
        UserError: there are fewer than asked for.
    """
    if config.strategy.kind == "none":
        return
    from src.engine import strategies  # needs TensorFlow

    strategies.start(config.strategy)

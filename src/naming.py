"""Ids and names of runs and sweeps."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from src.config import Config
from src.tracking.record import RunRecord

SWEPT_KEYS = "sweep.keys"  # tag of a sweep: the keys that vary, as JSON


def new_id() -> str:
    """A run's or a sweep's id: when it started, and six random digits against collisions."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def run_name(config: Config) -> str:
    """The name of a solo run: the one asked for, else what is trained."""
    if config.name:
        return config.name
    data, model, optimizer = (
        part.target.split(".") for part in (config.data, config.model, config.optimizer)
    )
    return f"{data[-2]} {model[-1]} {optimizer[-1]}"


def child_name(sweep_folder: Path, overrides: Sequence[str], number: int) -> str:
    """A child's name after what varies, such as `learning_rate=0.1 batch_size=32`."""
    keys = json.loads(RunRecord.load(sweep_folder).tags.get(SWEPT_KEYS, "[]"))
    short = [key.rpartition(".")[2] for key in keys]
    values = assignments(overrides)
    parts = [
        f"{name if short.count(name) == 1 else key}={values[key]}"
        for key, name in zip(keys, short, strict=True)
        if key in values
    ]
    return " ".join(parts) or f"job {number}"


def assignments(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides of a single job as key and value."""
    return dict(o.lstrip("+").split("=", 1) for o in overrides if "=" in o)

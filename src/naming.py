"""Ids and names of runs and sweeps."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from src.config import Config
from src.tracking.record import FILE_NAME, RunRecord

POINTER = "goes_on_in.txt"
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


def point_to(run: Path, folder: Path) -> None:
    """Note in a job's folder that its run goes on in that of an earlier sweep."""
    if run != folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / POINTER).write_text(f"{run}\n", encoding="utf-8")


def run_of(folder: Path) -> Path | None:
    """The folder of a job's run: its own, or that of an earlier sweep; None before it has one."""
    if (folder / FILE_NAME).exists():
        return folder
    if (folder / POINTER).exists():
        return Path((folder / POINTER).read_text(encoding="utf-8").strip())
    return None


def assignments(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides of a single job as key and value."""
    return dict(o.lstrip("+").split("=", 1) for o in overrides if "=" in o)

"""Where a run comes from: code, versions, machine, command. Imports none of what it names."""

import functools
import getpass
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "numpy", "hydra-core", "mlflow")


def tags(overrides: Sequence[str], entry: str) -> dict[str, str]:
    """Tags of a run: git commit and dirtiness, versions, machine, overrides and command."""
    return _surroundings() | {
        "overrides": " ".join(shlex.quote(override) for override in overrides),
        "command": " ".join(["python -m", entry, *map(shlex.quote, overrides)]),
        "mlflow.source.name": entry,
        "mlflow.source.type": "LOCAL",
    }


@functools.cache
def _surroundings() -> dict[str, str]:
    """What is the same for all runs of a process."""
    found = {
        "python": platform.python_version(),
        "host": platform.node(),
        "cpus": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
    }
    try:
        found["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        found["mlflow.user"] = str(os.getuid())
    for package in PACKAGES:
        try:
            found[package.removesuffix("-core")] = version(package)
        except PackageNotFoundError:
            continue
    return found | _git()


def _git() -> dict[str, str]:
    root = Path(__file__).resolve().parents[1]
    command = [
        "git",
        "-C",
        str(root),
        "status",
        "--porcelain=v2",
        "--branch",
        "--untracked-files=no",
    ]
    try:
        status = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):  # no git, or a copy that is no checkout
        return {"git_commit": "unknown", "git_dirty": "unknown"}
    commit, dirty = "unknown", False
    for line in status.splitlines():
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif not line.startswith("#"):
            dirty = True
    return {
        "git_commit": commit,
        "git_dirty": str(dirty).lower(),
        "mlflow.source.git.commit": commit,
    }

"""Commands as their own processes, timed from outside: what their user waits for."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.tracking import journal

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package `src`


class CommandFailed(Exception):
    """A command ended with another exit code than it should; the text has its last lines."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Attributes:
        began: when it was started, seconds since the epoch.
        seconds: until it had ended.
        output: what it wrote to standard output.
    """

    began: float
    seconds: float
    output: str


def train(*overrides: str) -> list[str]:
    """The command that trains with this harness."""
    return [sys.executable, "-m", "src.train", *overrides]


def python(*words: str) -> list[str]:
    """A command of the same Python."""
    return [sys.executable, *words]


def run(command: Sequence[str], *, expected: int = 0) -> Finished:
    """Run a command in the repository's root.

    Raises:
        CommandFailed: when its exit code is not the one expected.
    """
    began, clock = time.time(), time.perf_counter()
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        errors="replace",
    )
    seconds = time.perf_counter() - clock
    if done.returncode != expected:
        raise failure(command, done.returncode, done.stdout + done.stderr)
    return Finished(began, seconds, done.stdout)


def failure(command: Sequence[str], code: int | None, output: str) -> CommandFailed:
    """What to raise for a command that ended badly."""
    last = " | ".join(line.strip() for line in output.strip().splitlines()[-4:])
    words = " ".join(command[1:])
    return CommandFailed(f"`python {words[:200]}` ended with exit code {code}: {last[-600:]}")


def environment() -> dict[str, str]:
    """The environment of a measured process: the user's, with TensorFlow's greeting turned off."""
    return dict(os.environ) | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


def last_json(finished: Finished) -> dict[str, Any]:
    """The object that a command printed as its last line."""
    content = json.loads(finished.output.strip().splitlines()[-1])
    assert isinstance(content, dict)
    return content


def newest(outputs: Path, pattern: str) -> Path:
    """The folder that a run (`runs/*`) or a sweep (`sweeps/*`) has just written."""
    return max(outputs.glob(pattern), key=lambda folder: folder.stat().st_mtime_ns)


def summary(folder: Path) -> dict[str, Any]:
    """How the run in `folder` ended, as it says itself."""
    content = json.loads((folder / "artifacts" / "summary.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def moments(folder: Path, kind: str) -> list[float]:
    """When the run in `folder` wrote the journal's lines of a kind, seconds since the epoch."""
    lines = journal.read(folder / journal.FILE_NAME)
    return [line["t"] / 1000 for _, line in lines if line["kind"] == kind]

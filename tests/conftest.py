"""What tests of the core share: composing a configuration, running a command here or in a process.

Most commands run in this process, so that TensorFlow is imported once; real processes are started
where the process itself is what is tested.
"""

import contextlib
import functools
import io
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from src.config import Config, validate
from src.tracking import journal

ROOT = Path(__file__).resolve().parents[1]

# 20 rows in batches of 8: three updates an epoch, the last of 4 rows.
ROWS = (
    "data=random",
    "data.rows=20",
    "data.features=3",
    "data.classes=4",
    "data.validation_rows=7",
    "data.test_rows=5",
    "data.batch_size=8",
)
QUIET = ("tracking=none", "tracking.artifacts=none")


def tiny_overrides(*overrides: str) -> tuple[str, ...]:
    """The overrides, before them those of a tiny run for what they leave open."""
    made = [*QUIET]
    if not any(given.startswith("jit=") for given in overrides):
        made.append("jit=false")
    if not any(given.startswith(("data=", "experiment=")) for given in overrides):
        made += ROWS
    if not any(given.startswith(("model=", "experiment=")) for given in overrides):
        made.append("model.hidden=[5]")
    return (*made, *overrides)


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int | str | None
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that the command says of a user's mistake, without `error: `."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


@contextlib.contextmanager
def hydra_open() -> Iterator[None]:
    """Within it `hydra.compose` reads conf/."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tiny() -> Callable[..., tuple[str, ...]]:
    """Overrides, completed to those of a run of three updates an epoch on made-up rows."""
    return tiny_overrides


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose conf/ with overrides, as Hydra does for a command."""

    def make(*overrides: str) -> DictConfig:
        with hydra_open():
            return compose("config", overrides=list(overrides))

    return make


@pytest.fixture(scope="session")
def configured(composed: Callable[..., DictConfig]) -> Callable[..., Config]:
    """The checked configuration of overrides."""
    return functools.cache(lambda *overrides: validate(composed(*overrides)))


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    """TensorFlow as a run sets it up, even where another test's module imported it first."""
    from src import startup

    startup.import_tensorflow()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    return tf


@pytest.fixture(scope="session")
def program(configured: Callable[..., Config], tensorflow: Any) -> Callable[..., Any]:
    """The compiled program of overrides, completed by `tiny`, and its data set."""

    def make(*overrides: str, notice: Callable[[str], None] = print) -> tuple[Any, Any]:
        from src.build import build
        from src.engine.program import Program
        from src.job import load_data

        config = configured(*tiny_overrides(*overrides))
        dataset, _ = load_data(config)
        step = build(config, dataset, config.seed)
        made = Program(
            step,
            dataset.train,
            config.data.batch_size,
            config.data.evaluation_batch_size,
            jit=config.jit,
            eager=config.eager,
            notice=notice,
        )
        return made, dataset

    return make


@pytest.fixture(scope="session")
def train_in(tensorflow: Any) -> Callable[..., Any]:
    """Train a job in this process: its `Run`, in the folder `outputs` unless overridden."""

    def make(folder: Path, *overrides: str) -> Any:
        from src import job, training

        with hydra_open():
            given = [f"outputs={folder / 'outputs'}", *tiny_overrides(*overrides)]
            prepared = job.prepare(compose("config", overrides=given), given)
            dataset, factors = job.load_data(prepared.config)
            [run] = training.train([prepared], dataset, factors[:, None], None)
            return run

    return make


@pytest.fixture(scope="session")
def teacher(train_in: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The override that names a trained run of such overrides as the teacher."""

    @functools.cache
    def make(*overrides: str) -> str:
        run = train_in(tmp_path_factory.mktemp("teacher"), "epochs=2", *overrides)
        return f"step.teacher={run.folder}"

    return make


@pytest.fixture
def trained(tmp_path: Path, train_in: Callable[..., Any]) -> Callable[..., Any]:
    """Train a job in this process, below `tmp_path`: its `Run`."""
    return lambda *overrides: train_in(tmp_path, *overrides)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensorflow: Any
) -> Callable[..., Outcome]:
    """Run `python -m src.train` with these arguments in this process, from a folder of its own."""
    from src.sweep import SweepCallback

    folder = tmp_path / "work"
    folder.mkdir()

    def run(*arguments: str) -> Outcome:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(SweepCallback, "exit_code", 0)
        monkeypatch.setattr(SweepCallback, "current", None)
        monkeypatch.setattr(sys, "argv", ["src/train.py", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        GlobalHydra.instance().clear()
        out, err = io.StringIO(), io.StringIO()
        code: int | str | None = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_module("src.train", run_name="__main__")
            except SystemExit as ended:
                code = ended.code
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start `python -m src.train` with these arguments as a process; ended with the test."""
    processes: list[subprocess.Popen[str]] = []
    folder = tmp_path / "process"
    folder.mkdir()

    def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
        paths = [str(ROOT), environment.pop("PYTHONPATH", "")]
        # A shell without job control starts what runs in the background with Ctrl-C ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, "-m", "src.train", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def process(started: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Outcome]:
    """Run `python -m src.train` with these arguments as a process, to its end."""

    def run(*arguments: str, **environment: str) -> Outcome:
        running = started(*arguments, **environment)
        out, err = running.communicate(timeout=120)
        return Outcome(running.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tiny pictures in three classes: 20 rows to train on, 7 and 5 to look at."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("pictures") / "pictures.npz"
    arrays: dict[str, Any] = {}
    for split, rows in {"train": 20, "val": 7, "test": 5}.items():
        arrays[f"x_{split}"] = generator.random((rows, 5, 6, 1), np.float32)
        arrays[f"y_{split}"] = np.arange(rows) % 3
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def newest_of() -> Callable[[Path], Any]:
    """The newest checkpoint of the run in a folder, every one of its files whole."""

    def find(folder: Path) -> Any:
        from src.engine.checkpoint import Checkpoints

        found = Checkpoints(folder / "checkpoints").newest(warn=pytest.fail)
        assert found is not None
        return found

    return find


@dataclass(frozen=True)
class Journal:
    """What a run's journal holds, whatever lines it came in."""

    lines: list[dict[str, Any]]

    @property
    def updates(self) -> dict[str, np.ndarray]:
        """Key to one value an update, float32, from the first update on."""
        values: dict[str, list[np.ndarray]] = {}
        done = 0
        for line in self.kind("updates"):
            assert line["first"] == done + 1
            done += line["count"]
            for key, array in line["values"].items():
                values.setdefault(key, []).append(journal.decode_array(array))
        return {key: np.concatenate(arrays) for key, arrays in values.items()}

    @property
    def metrics(self) -> dict[tuple[str, int], float]:
        """(name, step) to the value."""
        pairs = [
            ((name, line["step"]), value)
            for line in self.kind("metrics")
            for name, value in line["values"].items()
        ]
        assert len(dict(pairs)) == len(pairs), "a metric is there twice"
        return dict(pairs)

    @property
    def tags(self) -> dict[str, str]:
        """All tags, later ones over earlier ones."""
        return {key: value for line in self.kind("tags") for key, value in line["tags"].items()}

    def kind(self, kind: str) -> list[dict[str, Any]]:
        """The lines of a kind."""
        return [line for line in self.lines if line["kind"] == kind]


@pytest.fixture(scope="session")
def journal_of() -> Callable[[Path], Journal]:
    """Read the journal in a run's folder."""
    return lambda folder: Journal([line for _, line in journal.read(folder / journal.FILE_NAME)])


@pytest.fixture(scope="session")
def only_run() -> Callable[[Path], Path]:
    """The folder of the one run in an outputs folder."""

    def find(outputs: Path) -> Path:
        [record] = outputs.glob("runs/*/run.json")
        return record.parent

    return find

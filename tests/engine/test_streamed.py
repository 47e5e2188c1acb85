"""Training on rows that are streamed is training on rows that are held, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest

from src.engine import state
from src.engine.streamed import StreamedProgram


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures in .npy files: 45 rows to train on."""
    made = tmp_path_factory.mktemp("streamed")
    generator = np.random.default_rng(0)
    for split, rows in {"train": 45, "val": 37, "test": 7}.items():
        np.save(made / f"x_{split}.npy", generator.normal(1, 3, (rows, 4, 5, 1)))
        np.save(made / f"y_{split}.npy", np.arange(rows) % 3)
    return made


@pytest.fixture
def train(trained, folder, monkeypatch):
    """Train 3 epochs of 6 updates, the last of 5 rows; at most 2 updates a call where streamed."""
    monkeypatch.setattr("src.engine.streamed.CALL_BYTES", 2 * 8 * 20 * 4)

    def run(*given):
        data = ("data=arrays", f"data.path={folder}", "data.batch_size=8")
        return trained(*data, "data.evaluation_batch_size=4", "epochs=3", *given)

    return run


@pytest.fixture
def streamed_program(configured, tensorflow, tiny):
    """The program of overrides, as training makes it."""

    def make(*given):
        from src import programs
        from src.job import load_data

        config = configured(*tiny(*given))
        dataset, _ = load_data(config)
        return programs.compiled([config], dataset), dataset

    return make


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(("jit=false",), marks=pytest.mark.slow),
        ("jit=true",),
        ("jit=false", "model=cnn", "model.filters=[2]", "model.dropout=0.5"),
        pytest.param(("jit=false", "data.batch_size=45"), marks=pytest.mark.slow),
        pytest.param(("eager=true",), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_every_update_and_the_final_state_are_equal(train, journal_of, given):
    runs = [train(*given, f"data.streaming={streaming}") for streaming in ("false", "true")]
    held, stored = (journal_of(run.folder) for run in runs)
    assert held.tags["state_sha256"] == stored.tags["state_sha256"]
    assert held.metrics == stored.metrics
    np.testing.assert_array_equal(held.updates["update/loss"], stored.updates["update/loss"])


@pytest.mark.parametrize("readers", [1, 7])
def test_the_number_of_readers_changes_nothing(train, journal_of, readers, monkeypatch):
    expected = journal_of(train("data.streaming=false").folder).tags["state_sha256"]
    monkeypatch.setattr(StreamedProgram, "readers", readers)
    found = journal_of(train("data.streaming=true").folder).tags["state_sha256"]
    assert found == expected


def test_it_goes_on_in_mid_epoch_and_reads_nothing_before(streamed_program, folder, monkeypatch):
    data = ("data=arrays", f"data.path={folder}", "data.batch_size=8", "data.streaming=true")
    made, _ = streamed_program(*data)
    assert isinstance(made, StreamedProgram)
    order = np.random.default_rng(3).permutation(45)[None].astype(np.int32)
    rates, active = np.full((6, 1), 0.1, np.float32), np.ones(1, bool)
    initial = made.snapshot()
    made.shuffle(order)
    losses = made.run(0, rates, active)
    after = state.sha256(made.snapshot())
    made.load([initial])
    made.shuffle(order)
    first = made.run(0, rates[:3], active)
    middle = made.snapshot()

    made, _ = streamed_program(*data)  # as in a new process
    made.restore(middle)
    read: list[int] = []
    rows_of = StreamedProgram._rows_of

    def noted(self, number):
        read.append(number)
        return rows_of(self, number)

    monkeypatch.setattr(StreamedProgram, "_rows_of", noted)
    made.shuffle(order)
    second = made.run(3, rates[3:], active)
    np.testing.assert_array_equal(np.concatenate([first, second]), losses)
    assert state.sha256(made.snapshot()) == after
    assert min(read) == 3


def test_members_that_would_stream_train_one_by_one(folder, configured, tensorflow, tiny):
    from src import programs
    from src.errors import CannotFuse
    from src.job import load_data

    data = ("data=arrays", f"data.path={folder}", "data.streaming=true")
    configs = [configured(*tiny(*data, f"seed={seed}")) for seed in (0, 1)]
    dataset, _ = load_data(configs[0])
    with pytest.raises(CannotFuse, match="one run at a time"):
        programs.compiled(configs, dataset)


def test_devices_that_share_batches_hold_their_rows(folder, configured, tiny):
    from src.errors import UserError
    from src.job import load_data

    data = ("data=arrays", f"data.path={folder}", "strategy=mirrored", "jit=auto")
    with pytest.raises(UserError, match="devices that share batches hold all rows"):
        load_data(configured(*tiny(*data, "data.streaming=true")))
    dataset, _ = load_data(configured(*tiny(*data)))
    assert isinstance(dataset.train.x, np.ndarray)


# Not getrusage: its peak is handed down by the process that starts this one.
MEASURE = """
import runpy, sys
from pathlib import Path
sys.argv[0] = "src/train.py"
try:
    runpy.run_module("src.train", run_name="__main__")
finally:
    [peak] = [l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l]
    print("PEAK", int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
def test_memory_stays_far_below_the_files_size(tmp_path, root):
    rows = 1024 * 1024
    x = np.lib.format.open_memmap(
        tmp_path / "x_train.npy", mode="w+", dtype=np.float32, shape=(rows, 512)
    )
    x[:] = np.random.default_rng(0).random((1, 512), np.float32)
    x[:, 0] = np.arange(rows) % 2
    x.flush()
    del x
    np.save(tmp_path / "y_train.npy", np.arange(rows) % 2)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURE,
            "data=arrays",
            f"data.path={tmp_path}",
            "data.streaming=true",
            "data.test_fraction=0",
            "data.batch_size=512",
            "epochs=1",
            "tracking=none",
            f"outputs={tmp_path / 'outputs'}",
        ],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("PEAK")]
    assert int(line.split()[1]) < 1.5 * 2**30 < (tmp_path / "x_train.npy").stat().st_size

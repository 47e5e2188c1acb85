"""Every preset of conf/debug, by the command that its header names."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.tracking.record import RunRecord

PRESETS = sorted(path.stem for path in Path("conf/debug").glob("*.yaml"))


@pytest.fixture
def run(tmp_path, command, only_run, journal_of):
    """Run a command in a new outputs folder: the run's folder, its journal and what was said."""

    def run(*given):
        outputs = tmp_path / "outputs"
        ended = command(*given, f"outputs={outputs}", "tracking.artifacts=none")
        assert ended.code == 0, ended.err
        folder = only_run(outputs)
        return folder, journal_of(folder), ended.out

    return run


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_opens_with_what_it_is_its_command_and_what_to_expect(name):
    lines = Path(f"conf/debug/{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert any(line.startswith(f"#   python -m src.train debug={name}") for line in lines[:4])
    assert any(line.startswith("# Expected: ") for line in lines[:6])
    assert any(test.startswith(f"test_{name}") for test in globals())


def test_one_batch_does_everything_once(run):
    folder, journal, said = run("debug=one_batch", "data.batch_size=32", "data=digits")
    assert len(journal.updates["update/loss"]) == 1
    assert {step for _, step in journal.metrics} == {1}
    assert {"train/loss", "val/loss", "test/loss"} <= {name for name, _ in journal.metrics}
    dataset = RunRecord.load(folder).dataset
    assert dataset is not None
    assert [dataset[f"{split}_rows"] for split in ("train", "val", "test")] == [32, 32, 32]
    assert "epoch 1/1" in said


def test_quick_is_one_short_epoch(run, tiny):
    _, journal, said = run(*tiny("debug=quick"))
    assert {step for _, step in journal.metrics} == {1}
    assert said.count("epoch 1/1") == 1


def test_overfit_learns_a_handful_of_rows_by_heart_and_says_so(run):
    folder, journal, said = run("debug=overfit")
    losses = [value for (name, _), value in sorted(journal.metrics.items()) if name == "train/loss"]
    assert losses[-1] <= 0.01 < min(losses[:-1])
    assert re.search(rf"\nfinished +reached train/loss 0.01 in epoch {len(losses)}\n", said)
    assert 100 < len(losses) < 400  # the header: about 200
    assert RunRecord.load(folder).params["data.max_rows"] == 16
    assert journal.tags["stopped_early"] == "true"


def test_overfit_says_when_it_did_not_get_there(run):
    _, journal, said = run("debug=overfit", "epochs=2", "jit=false")
    assert "trained 2 epochs without train/loss 0.01: its best was " in said
    assert journal.tags["stopped_early"] == "false"


def test_profile_leaves_a_trace_and_a_table(run, tiny):
    folder, journal, said = run(*tiny("debug=profile", "profile_calls=1"))
    assert len(journal.updates["update/loss"]) == 9  # three epochs
    assert list(folder.glob("profile/plugins/profile/*/*.xplane.pb"))
    heading, *rows = (folder / "profile" / "operations.txt").read_text().splitlines()
    assert heading.split()[:3] == ["total", "ms", "times"]
    assert any("MatMul" in row for row in rows)
    times = [float(row.split()[0]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert f"1 calls are traced in {folder / 'profile'}" in said


def test_profile_of_a_single_epoch_has_nothing_to_trace(run, tiny):
    folder, _, said = run(*tiny("debug=profile", "epochs=1"))
    assert "Nothing was traced" in said
    assert not (folder / "profile").exists()


def test_profile_changes_no_result(run, tiny, train_in, tmp_path, journal_of):
    _, journal, _ = run(*tiny("debug=profile"))
    plain = journal_of(train_in(tmp_path / "plain", "epochs=3").folder)
    assert journal.tags["state_sha256"] == plain.tags["state_sha256"]


STEP = """
from src.steps.standard import Standard

class Stopping(Standard):
    def train(self, x, y):
        loss = super().train(x, y)
        breakpoint()
        return loss
"""


def test_eager_breakpoints_stop_inside_the_step(run, tiny, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_stopping_step.py").write_text(STEP)
    seen = []

    def stop():
        frame: Any = sys._getframe(1)
        while frame.f_code.co_name != "train":
            frame = frame.f_back
        place, held = Path(frame.f_code.co_filename).name, frame.f_locals
        seen.append((place, held["x"].shape[0], float(held["loss"].numpy())))
        assert held["self"].weights[0].numpy().any()

    monkeypatch.setattr(sys, "breakpointhook", stop)
    own = "step._target_=my_stopping_step.Stopping"
    _, journal, _ = run(*tiny("debug=eager", "jit=auto", "epochs=1", own))
    assert [(place, rows) for place, rows, _ in seen] == [
        ("my_stopping_step.py", n) for n in (8, 8, 4)
    ]
    np.testing.assert_array_equal(
        np.array([loss for *_, loss in seen], np.float32), journal.updates["update/loss"]
    )

"""Jobs that trained together are scored one by one."""

import pytest

from src import commands, evaluate
from src.tracking.record import RunRecord


def test_each_job_is_scored_as_it_was_validated(command, tmp_path, tiny, journal_of, capsys):
    outputs = f"outputs={tmp_path / 'o'}"
    done = command("-m", "hydra/launcher=fused", *tiny("seed=0,1", "epochs=2"), outputs)
    assert done.code == 0, done.err
    folders = sorted(path.parent for path in (tmp_path / "o").glob("sweeps/*/*/run.json"))
    assert len(folders) == 2
    for folder in folders:
        words = [f"run={RunRecord.load(folder).id}", "checkpoint=last", outputs]
        assert commands.enter(evaluate.evaluate, words, "") == 0
        metrics = journal_of(folder).metrics
        validated = metrics["val/loss", 2]
        assert metrics["evaluate/val/loss", 2] == pytest.approx(validated, rel=1e-5)
    words = [f"run={folders[0].parent.name}", outputs]
    assert commands.enter(evaluate.evaluate, words, "") == 2
    assert "that is a sweep; name one of" in capsys.readouterr().err

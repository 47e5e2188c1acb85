import json
import sys

import numpy as np
import pytest

from src.benchmarks import commands
from src.tracking.journal import Journal


def test_a_command_is_timed_and_its_output_kept():
    done = commands.run(commands.python("-c", "import time; time.sleep(0.2); print('[1]')"))
    assert done.output == "[1]\n"
    assert 0.2 < done.seconds < 30


def test_a_wrong_exit_code_is_a_failure_with_the_last_lines():
    command = commands.python("-c", "import sys; print('why', file=sys.stderr); sys.exit(3)")
    with pytest.raises(commands.CommandFailed, match=r"exit code 3: why"):
        commands.run(command)
    assert commands.run(command, expected=3).output == ""


def test_the_harness_is_started_by_the_same_python():
    assert commands.train("epochs=1") == [sys.executable, "-m", "src.train", "epochs=1"]


def test_the_last_line_is_read_as_json():
    done = commands.run(commands.python("-c", "print('noise'); print('{\"loss\": 0.5}')"))
    assert commands.last_json(done) == {"loss": 0.5}


def test_what_a_run_wrote_is_read(tmp_path):
    for name in ("old", "new"):
        (tmp_path / "runs" / name / "artifacts").mkdir(parents=True)
    folder = tmp_path / "runs" / "new"
    (folder / "artifacts" / "summary.json").write_text(json.dumps({"metrics": {"train/loss": 1}}))
    with Journal(folder / "journal.jsonl") as journal:
        journal.append("begin", attempt=1, update=0)
        journal.updates(1, {"update/loss": np.ones(3, np.float32)})
        journal.updates(4, {"update/loss": np.ones(3, np.float32)})
    assert commands.newest(tmp_path, "runs/*") == folder
    assert commands.summary(folder)["metrics"] == {"train/loss": 1}
    first, second = commands.moments(folder, "updates")
    assert 0 <= second - first < 10
    assert commands.moments(folder, "metrics") == []

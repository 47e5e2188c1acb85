"""`--help`, `--cfg job` and a mistake in the configuration answer without TensorFlow and MLflow."""

import json
import os
import subprocess
import sys

import pytest

# Runs one command after the other in a process that started with nothing, and tells of each its
# exit code, what it said, and which heavy packages it had imported by its end.
PROGRAM = """
import contextlib, io, json, runpy, sys
from hydra.core.global_hydra import GlobalHydra
from src.sweep import SweepCallback

HEAVY = {"tensorflow", "keras", "mlflow", "matplotlib", "sklearn", "pandas", "rich"}
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["src/train.py", *arguments]
    GlobalHydra.instance().clear()
    SweepCallback.exit_code = 0
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module("src.train", run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    heavy = sorted(HEAVY & {name.split(".")[0] for name in sys.modules})
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
"""

# Arguments, exit code, a word of what is said.
CASES = [
    (["--help"], 0, "optimizer: "),
    (["--cfg", "job"], 0, "learning_rate: 0.1"),
    (["optimizer=no_such"], 1, "Could not find 'optimizer/no_such'"),
    (["optimizer.no_such=1"], 1, "optimizer.no_such"),
    (["data.batch_size=0"], 2, "data.batch_size=0"),
    (["monitor=val/recall"], 2, "monitor=val/recall"),
    (["resume=20200101-000000-aaaaaa"], 2, "resume=20200101-000000-aaaaaa"),
    (["data=arrays", "data.path=no_such.npz", "tracking=none"], 2, "data.path=no_such.npz"),
    (["data=fashion_mnist", "data.path=no_such", "tracking=none"], 2, "data.path=no_such"),
    (["loss=categorical_crossentropy", "tracking=none"], 2, "data.labels=one_hot"),
    (["schedule=piecewise", "schedule.values=[1]", "tracking=none"], 2, "schedule.values"),
    (["-m", "epochs=0", "seed=1,2"], 2, "epochs=0"),
]


@pytest.fixture(scope="module")
def answers(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fast")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([arguments for arguments, _, _ in CASES])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], sorted(folder.iterdir())


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join(args) for args, _, _ in CASES])
def test_it_answers_without_tensorflow_and_mlflow(answers, number):
    _, expected, word = CASES[number]
    code, out, err, heavy = answers[0][number]
    assert (code, heavy) == (expected, []), err
    assert "Traceback" not in err
    assert word in (out if expected == 0 else err)
    if expected == 2:
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_nothing_was_left_behind(answers):
    assert answers[1] == []


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["data.batch_size=0"], 2)])
def test_a_process_of_its_own_answers_the_same(process, arguments, code):
    ended = process(*arguments)
    assert ended.code == code
    assert ended.error.startswith("data.batch_size=0") if code else "optimizer: " in ended.out

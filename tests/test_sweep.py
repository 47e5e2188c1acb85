"""A multirun: one parent folder, a child a job, a table, and an exit code that is honest."""

import json
import math
import re

import pytest
import yaml

from src import sweep
from src.tracking.record import RunRecord


def children(folder):
    return sorted(
        (path for path in folder.iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
    )


@pytest.fixture
def only_sweep():
    def find(outputs):
        [folder] = (outputs / "sweeps").iterdir()
        return folder

    return find


@pytest.fixture
def multirun(command, tmp_path, tiny):
    """Run a sweep: how it ended, and the parent's folder."""

    def run(*given):
        sweeps = tmp_path / "work" / "out" / "sweeps"
        before = set(sweeps.glob("*"))
        ended = command("-m", *tiny(*given), "outputs=out")
        [folder] = set(sweeps.iterdir()) - before
        return ended, folder

    return run


def test_two_keys_make_four_named_children_under_one_parent(multirun, tmp_path, journal_of):
    ended, folder = multirun(
        "data=random",
        "data.rows=20",
        "data.features=3",
        "optimizer.learning_rate=0.5,0.01",
        "data.batch_size=8,16",
        "epochs=2",
    )
    assert (ended.code, ended.err) == (0, "")
    names = [RunRecord.load(child).name for child in children(folder)]
    assert names == [
        "learning_rate=0.5 batch_size=8",
        "learning_rate=0.5 batch_size=16",
        "learning_rate=0.01 batch_size=8",
        "learning_rate=0.01 batch_size=16",
    ]
    assert [path.name for path in (tmp_path / "work" / "out").iterdir()] == ["sweeps"]

    parent = RunRecord.load(folder)
    assert (parent.kind, parent.parent, parent.id) == ("sweep", None, folder.name)
    assert parent.name == "sweep of optimizer.learning_rate, data.batch_size"
    # What varies is no parameter of the parent.
    assert "optimizer.learning_rate" not in parent.params
    assert parent.params["epochs"] == 2
    assert "-m" in parent.tags["command"]
    assert journal_of(folder).lines[-1]["status"] == "FINISHED"
    assert journal_of(folder).lines[-1]["reason"] == "4 of 4 jobs finished"

    expected = []
    for number, child in enumerate(children(folder)):
        record, journal = RunRecord.load(child), journal_of(child)
        assert (record.parent, record.id) == ("..", f"{folder.name}-{number}")
        assert journal.lines[-1]["status"] == "FINISHED"
        config = yaml.safe_load((child / "config.yaml").read_text())
        assert config["data"]["batch_size"] == (8, 16)[number % 2]
        assert config["optimizer"]["learning_rate"] == (0.5, 0.01)[number // 2]
        losses = [journal.metrics["val/loss", epoch] for epoch in (1, 2)]
        expected.append((min(losses), losses.index(min(losses)) + 1))

    results = json.loads((folder / "artifacts" / "results.json").read_text())
    assert results["objective"] == "val/loss"
    assert results["direction"] == "min"
    assert results["keys"] == ["optimizer.learning_rate", "data.batch_size"]
    assert [row["number"] for row in results["rows"]] == [0, 1, 2, 3]
    assert [row["status"] for row in results["rows"]] == ["FINISHED"] * 4
    assert [(row["objective"], row["epoch"]) for row in results["rows"]] == expected
    assert results["rows"][1]["values"] == {"optimizer.learning_rate": 0.5, "data.batch_size": 16}

    # One line a job as it ends, and the table with the best first.
    said = ended.out.splitlines()
    assert [line.split(":")[0] for line in said[1:5]] == names
    table = [line.split() for line in said[6:10]]
    ranked = sorted(range(4), key=lambda number: (expected[number][0], number))
    assert [row[2] for row in table] == [f"{expected[number][0]:.4f}" for number in ranked]


def test_a_child_equals_the_same_command_on_its_own(multirun, trained, journal_of):
    """A program that is used again for the next job starts from a state that is that job's own."""
    given = ("model.dropout=0.4", "optimizer=adam", "epochs=2")
    _, folder = multirun(*given, "seed=1,2", "optimizer.learning_rate=0.1,0.01")
    assert len(children(folder)) == 4
    for child in children(folder)[1:3]:
        config = yaml.safe_load((child / "config.yaml").read_text())
        rate = config["optimizer"]["learning_rate"]
        alone = trained(*given, f"seed={config['seed']}", f"optimizer.learning_rate={rate}")
        expected, found = journal_of(alone.folder), journal_of(child)
        assert found.tags["state_sha256"] == expected.tags["state_sha256"]
        assert found.metrics == expected.metrics


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("optimizer.learning_rate=0.1,1e30,0.01", r"the loss became (inf|nan) at update \d"),
        ("optimizer.learning_rate=0.1,-1,0.01", r"optimizer\.learning_rate=-1"),
        pytest.param("model.hidden=[3],[0],[4]", r"model\.hidden", marks=pytest.mark.slow),
    ],
)
def test_a_failing_job_does_not_end_the_others_and_the_exit_code_says_so(
    multirun, journal_of, bad, reason
):
    ended, folder = multirun("loss=mean_squared_error", "epochs=1", bad)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert [journal_of(child).lines[-1]["status"] for child in children(folder)] == [
        "FINISHED",
        "FAILED",
        "FINISHED",
    ]
    last = journal_of(folder).lines[-1]
    assert (last["status"], last["reason"]) == ("FAILED", "2 of 3 jobs finished")
    rows = json.loads((folder / "artifacts" / "results.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["FINISHED", "FAILED", "FINISHED"]
    assert re.search(reason, rows[1]["reason"])
    assert rows[1]["objective"] is None
    assert re.search("failed: .*" + reason, ended.out)


def test_a_job_that_fails_in_the_middle_is_failed_with_its_reason(
    multirun, tmp_path, monkeypatch, journal_of
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_limited_step.py").write_text(
        "import tensorflow as tf\n"
        "from src.steps.standard import Standard\n"
        "class Limited(Standard):\n"
        "    def __init__(self, model, optimizer, loss, metrics, *, limit: int):\n"
        "        super().__init__(model, optimizer, loss, metrics)\n"
        "        self.limit = limit\n"
        "    def train(self, x, y):\n"
        "        tf.debugging.assert_less(self.optimizer.iterations.value,\n"
        "            tf.constant(self.limit, tf.int64), 'the limit is reached')\n"
        "        return super().train(x, y)\n"
    )
    given = ("step._target_=my_limited_step.Limited", "+step.limit=4,100", "epochs=2")
    ended, folder = multirun(*given)
    assert ended.code == 1
    assert [journal_of(child).lines[-1]["status"] for child in children(folder)] == [
        "FAILED",
        "FINISHED",
    ]
    rows = json.loads((folder / "artifacts" / "results.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["FAILED", "FINISHED"]
    assert "the limit is reached" in rows[0]["reason"]

    again, later = multirun(*given, "resume=auto")
    assert again.code == 1
    assert f"resume=auto: {folder / '0'} goes on" in again.out
    assert f"resume=auto: {folder / '1'} is finished" in again.out
    held = [[path.name for path in child.iterdir()] for child in children(later)]
    assert held == [["goes_on_in.txt"], ["goes_on_in.txt"]]
    assert json.loads((later / "artifacts" / "results.json").read_text())["rows"] == rows


def test_a_mistake_that_all_jobs_share_is_answered_before_any_folder_is_made(command, tmp_path):
    ended = command("-m", "seed=1,2", "epochs=0", "tracking=none", "outputs=out")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith("epochs=0")
    assert list((tmp_path / "work").iterdir()) == []


def test_what_is_kept_of_a_child_is_light(multirun):
    _, folder = multirun("seed=1,2", "epochs=1", "tracking.artifacts=auto")
    for child in children(folder):
        kept = {path.name for path in (child / "artifacts").iterdir()}
        assert kept == {"config.yaml", "model_summary.txt", "summary.json"}
        assert not (child / "model").exists()


@pytest.mark.slow
def test_joblib_runs_the_jobs_in_processes_of_their_own(
    process, tmp_path, tiny, only_sweep, journal_of
):
    given = tiny("seed=1,2,3", "epochs=2", "optimizer.learning_rate=0.1,-1")
    ended = process(
        "-m",
        *given,
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        f"outputs={tmp_path / 'out'}",
    )
    assert ended.code == 1
    folder = only_sweep(tmp_path / "out")
    statuses = [journal_of(child).lines[-1]["status"] for child in children(folder)]
    assert statuses == ["FINISHED", "FAILED"] * 3
    assert journal_of(folder).lines[-1]["reason"] == "3 of 6 jobs finished"
    # Seeds 1, 2, 3 differ, and each is what it is on its own.
    digests = {journal_of(child).tags["state_sha256"] for child in children(folder)[::2]}
    assert len(digests) == 3


# -- gathering, from folders made by hand


@pytest.fixture
def made(tmp_path):
    def make(number, params, summary=None):
        folder = tmp_path / str(number)
        RunRecord(id=str(number), name=f"job {number}", params=params).claim(folder)
        if summary is not None:
            (folder / "artifacts").mkdir()
            (folder / "artifacts" / "summary.json").write_text(json.dumps(summary))

    return make


def test_results_are_in_the_order_of_the_jobs_and_hold_what_varied(made, tmp_path):
    finished = {"status": "FINISHED", "reason": "", "best_epoch": 2, "metrics": {"val/loss": 0.5}}
    made(10, {"seed": 10, "epochs": 3}, finished | {"objective_value": 0.25})
    made(2, {"seed": 2}, finished | {"objective_value": math.inf})
    made(1, {"seed": 1}, {"status": "FAILED", "reason": "nan", "objective_value": None})
    made(0, {"seed": 0})  # killed with -9
    (tmp_path / "3").mkdir()  # claimed by nobody
    (tmp_path / "notes").mkdir()
    results = sweep.gather(tmp_path, ["seed"], "val/accuracy")
    assert (results["direction"], results["keys"]) == ("max", ["seed"])
    rows = results["rows"]
    assert [row["number"] for row in rows] == [0, 1, 2, 10]
    assert [row["status"] for row in rows] == ["KILLED", "FAILED", "FINISHED", "FINISHED"]
    assert [row["objective"] for row in rows] == [None, None, None, 0.25]
    assert rows[0]["reason"] == "the process ended without closing the run"
    assert rows[3]["values"] == {"seed": 10}
    assert (rows[3]["epoch"], rows[3]["metrics"]) == (2, {"val/loss": 0.5})


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (["seed=1,2", "epochs=3"], ["seed"]),
        (["optimizer=sgd,adam", "seed=range(3)"], ["optimizer", "seed"]),
        (["model.hidden=[3],[4]", "data.seed=choice(1,2)"], ["model.hidden", "data.seed"]),
        (["+model.dtype=float32,bfloat16"], ["model.dtype"]),
        (["epochs=3", "model.hidden=[3,4]", "name='a,b'"], []),
    ],
)
def test_the_keys_that_vary(composed, overrides, keys):
    from omegaconf import OmegaConf

    config = OmegaConf.create({"hydra": {"sweeper": {"params": None}}})
    assert sweep._swept_keys(config, overrides) == keys


def test_the_sweepers_own_keys_vary_too():
    from omegaconf import OmegaConf

    config = OmegaConf.create(
        {"hydra": {"sweeper": {"params": {"seed": "1,2", "+model.dtype": "a,b", "epochs": "1"}}}}
    )
    assert sweep._swept_keys(config, ["seed=3,4"]) == ["seed", "model.dtype", "epochs"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["modle.x=1,2"], "the command was refused; 0 of 0 jobs finished"),
        (["model=linear,lienar"], "the command was refused"),
        (["seed=range(0)"], "the command gives no jobs; 0 of 0 jobs finished"),
    ],
)
def test_a_sweep_that_has_no_jobs_is_no_success_and_nobody_interrupted_it(
    multirun, journal_of, given, said
):
    ended, folder = multirun(*given)
    assert ended.code not in (0, 130)
    last = journal_of(folder).lines[-1]
    assert (last["kind"], last["status"]) == ("end", "FAILED")
    assert last["reason"].startswith(said)

"""The command line: what it trains, says and leaves behind, and its exit codes."""

import json
import re
import shlex

import numpy as np
import pytest
import yaml

from src.tracking.record import RunRecord


def test_a_whole_run(command, tmp_path, only_run, journal_of, tiny):
    ended = command(*tiny("epochs=3", "tracking.artifacts=full"), "outputs=out")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    for epoch in (1, 2, 3):
        assert re.fullmatch(
            rf"epoch {epoch}/3: train/loss \d+\.\d{{4}}  train/accuracy [01]\.\d{{4}}  "
            r"val/loss \d+\.\d{4}  val/accuracy [01]\.\d{4}  \([\d,]+ updates/s\)",
            lines[epoch - 1],
        )
    folder = only_run(tmp_path / "work" / "out")
    table = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines[4:])
    assert (table["run"], table["folder"]) == (folder.name, f"out/runs/{folder.name}")
    metrics = journal_of(folder).metrics
    for split in ("train", "val", "test"):
        for name in ("loss", "accuracy"):
            assert table[f"{split}/{name}"] == f"{metrics[f'{split}/{name}', 3]:.4f}"
    best = min((metrics["val/loss", epoch], epoch) for epoch in (1, 2, 3))
    assert table["best val/loss"] == f"{best[0]:.4f} at epoch {best[1]}"
    # Nothing beside the run's folder: no log file, no folder of Hydra's.
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "work" / "out").iterdir()] == ["runs"]


def test_the_record_holds_the_configuration_the_command_and_the_tags(
    command, tmp_path, only_run, journal_of, tiny
):
    given = [*tiny("epochs=1", "optimizer=adam", "name=mine"), "outputs=out"]
    assert command(*given).code == 0
    folder = only_run(tmp_path / "work" / "out")
    record, tags = RunRecord.load(folder), journal_of(folder).tags
    assert yaml.safe_load((folder / "overrides.yaml").read_text()) == given
    assert shlex.split(record.tags["overrides"]) == given
    assert record.params["optimizer._target_"] == "keras.optimizers.Adam"
    assert record.tags["jit"] == "false"
    assert record.tags["parameters"] == "44"  # (3 + 1) * 5 + (5 + 1) * 4
    assert re.fullmatch(r"[0-9a-f]{64}", tags["state_sha256"])
    assert record.tracking_uri is None


def test_the_rates_of_the_schedule_are_recorded_for_each_update(trained, journal_of):
    run = trained(
        "epochs=4",
        "optimizer.learning_rate=0.5",
        "schedule=piecewise",
        "schedule.boundaries=[0.5,0.75]",
        "schedule.values=[1,0.5,0.25]",
    )
    rates = journal_of(run.folder).updates["update/learning_rate"]
    assert rates.tolist() == [0.5] * 6 + [0.25] * 3 + [0.125] * 3


def test_a_line_every_so_many_updates(command, tiny):
    ended = command(*tiny("epochs=1", "log_every=2"))
    shown = [line for line in ended.out.splitlines() if "seen so far" in line]
    assert [re.sub(r"\d+\.\d{4}", "L", line) for line in shown] == [
        "epoch 1 update 1/3: loss L, seen so far 8 samples",
        "epoch 1 update 3/3: loss L, seen so far 20 samples",
    ]


@pytest.mark.parametrize(("rows", "batch_size", "updates"), [(20, 64, 1), (65, 64, 2), (1, 64, 1)])
def test_odd_sizes(trained, journal_of, rows, batch_size, updates):
    run = trained(
        "data=random",
        f"data.rows={rows}",
        "data.features=3",
        "data.validation_rows=1",
        "data.test_rows=1",
        f"data.batch_size={batch_size}",
        "epochs=2",
    )
    assert run.status == "FINISHED"
    journal = journal_of(run.folder)
    assert len(journal.updates["update/loss"]) == 2 * updates
    assert all(np.isfinite(value) for value in journal.metrics.values())


# -- a loss that is not finite


@pytest.fixture
def line(tmp_path):
    """Two points on a line, which a linear model fits in one step, or never."""
    path = tmp_path / "line.npz"
    x, y = np.array([[1.0], [3.0]]), np.array([2.0, -4.0])
    np.savez(path, x_train=x, y_train=y, x_val=x, y_val=y)
    return [
        "data=arrays",
        f"data.path={path}",
        "data.normalisation=none",
        "data.test_fraction=0",
        "data.task=regression",
        "loss=mean_squared_error",
        "metrics=[]",
        "model=linear",
    ]


@pytest.mark.parametrize("rate", [1e3, 1e12])
def test_a_run_that_diverges_stops_and_names_the_update(
    command, program, line, rate, tmp_path, only_run, journal_of, tiny
):
    made, dataset = program(*line)
    w, b = (variable.numpy().ravel()[0] for variable in made.step.model.trainable_variables)
    x, y = dataset.train.x.ravel(), dataset.train.y.ravel()
    step, losses = np.float32(rate), []
    with np.errstate(all="ignore"):
        while True:
            error = x * w + b - y
            losses.append(np.mean(np.square(error), dtype=np.float32))
            if not np.isfinite(losses[-1]):
                break
            w = np.float32(w - step * np.mean(2 * error * x, dtype=np.float32))
            b = np.float32(b - step * np.mean(2 * error, dtype=np.float32))
    expected = len(losses)
    assert 2 <= expected < 30

    ended = command(*tiny(*line, f"optimizer.learning_rate={rate:.0f}", "epochs=50"), "outputs=out")
    assert ended.code == 1
    assert "Traceback" not in ended.err
    folder = only_run(tmp_path / "work" / "out")
    last = journal_of(folder).lines[-1]
    assert (last["status"], last["update"]) == ("FAILED", expected)
    assert re.fullmatch(rf"the loss became (inf|nan) at update {expected}", last["reason"])
    assert last["reason"] in ended.out
    found = journal_of(folder).updates["update/loss"]
    np.testing.assert_allclose(found[:-1], losses[:-1], rtol=1e-3)
    assert not np.isfinite(found[-1])
    summary = json.loads((folder / "artifacts" / "summary.json").read_text())
    assert summary["status"] == "FAILED"


# -- what the user brings

OWN_MODEL = """
import keras

class Doubled(keras.Model):
    def __init__(self, num_classes: int, units: int = 3):
        super().__init__()
        self.hidden = keras.layers.Dense(units, "tanh")
        self.logits = keras.layers.Dense(num_classes)

    def call(self, inputs):
        return self.logits(self.hidden(2 * inputs))
"""
OWN_STEP = """
import tensorflow as tf
from src.steps.step import Step

class Signs(Step):
    '''Each weight moves by the sign of its gradient times `scale`.'''

    def __init__(self, model, optimizer, loss, metrics, *, scale: float):
        super().__init__(model, optimizer, loss, metrics)
        self.scale = scale

    def train(self, x, y):
        weights = self.weights
        with tf.GradientTape() as tape:
            tape.watch(weights)
            predictions = self.model(x, training=True)
            loss = self.loss(y, predictions)
        gradients = tape.gradient(loss, weights)
        self.optimizer.apply(
            [self.scale * tf.sign(g) for g in gradients], self.model.trainable_variables
        )
        self.update_metrics(loss, y, predictions)
        return loss
"""


def test_a_model_of_the_users_own_from_a_folder_on_pythonpath(
    process, tmp_path, tiny, only_run, journal_of
):
    own = tmp_path / "own"
    own.mkdir()
    (own / "my_models.py").write_text(OWN_MODEL)
    given = tiny("model=linear", "model._target_=my_models.Doubled", "+model.units=7", "epochs=1")
    ended = process(*given, f"outputs={tmp_path / 'out'}", PYTHONPATH=str(own))
    assert ended.code == 0, ended.err
    folder = only_run(tmp_path / "out")
    record = RunRecord.load(folder)
    assert record.params["model._target_"] == "my_models.Doubled"
    assert record.tags["parameters"] == str((3 + 1) * 7 + (7 + 1) * 4)
    assert record.name == "random Doubled SGD"
    assert journal_of(folder).lines[-1]["status"] == "FINISHED"


def test_a_step_of_the_users_own(command, tmp_path, monkeypatch, tiny, only_run, newest_of):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_steps_for_train.py").write_text(OWN_STEP)
    own = ["step._target_=my_steps_for_train.Signs", "+step.scale=2.0"]
    given = tiny("epochs=1", "optimizer.learning_rate=0.5", "data.batch_size=64", "model=linear")
    assert command(*given, *own, "outputs=out").code == 0
    found = newest_of(only_run(tmp_path / "work" / "out"))
    biases = next(value for name, value in found.last.items() if name.endswith("bias"))
    # One update from zero, by 0.5 * 2.0 up or down.
    assert np.abs(biases).tolist() == [1.0] * 4


def test_eager_runs_the_step_in_python(command, tmp_path, monkeypatch, tiny):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_shouting_step.py").write_text(
        "from src.steps.standard import Standard\n"
        "class Shouting(Standard):\n"
        "    def train(self, x, y):\n"
        "        loss = super().train(x, y)\n"
        "        print('batch of', len(x), 'loss is a number:', float(loss) > 0)\n"
        "        return loss\n"
    )
    given = tiny("epochs=2", "debug=eager", "jit=auto", "step._target_=my_shouting_step.Shouting")
    ended = command(*given)
    assert ended.code == 0, ended.err
    shouted = [line for line in ended.out.splitlines() if line.startswith("batch of")]
    assert shouted == [f"batch of {rows} loss is a number: True" for rows in (8, 8, 4, 8, 8, 4)]


def test_a_mistake_in_the_users_code_shows_where_it_is(command, tmp_path, monkeypatch, tiny):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_broken_step.py").write_text(
        "from src.steps.standard import Standard\n"
        "class Broken(Standard):\n"
        "    def train(self, x, y):\n"
        "        return self.no_such_thing\n"
    )
    ended = command(*tiny("step._target_=my_broken_step.Broken"), "outputs=out")
    assert ended.code == 1
    assert "my_broken_step.py" in ended.err
    assert "no_such_thing" in ended.err
    assert not (tmp_path / "work" / "out").exists()


def test_a_step_that_fails_while_training_closes_the_record(
    command, tmp_path, monkeypatch, tiny, only_run, journal_of
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_failing_step.py").write_text(FAILING_STEP)
    ended = command(*tiny("step._target_=my_failing_step.Failing"), "outputs=out")
    assert ended.code == 1
    assert "more than four updates" in ended.err
    folder = only_run(tmp_path / "work" / "out")
    last = journal_of(folder).lines[-1]
    assert (last["kind"], last["status"]) == ("end", "FAILED")
    assert "more than four updates" in last["reason"]
    summary = json.loads((folder / "artifacts" / "summary.json").read_text())
    assert summary["status"] == "FAILED"


FAILING_STEP = """
import tensorflow as tf
from src.steps.standard import Standard

class Failing(Standard):
    def train(self, x, y):
        tf.debugging.assert_less(
            self.optimizer.iterations.value, tf.constant(4, tf.int64), "more than four updates"
        )
        return super().train(x, y)
"""


# -- presets for a quick look


def test_debug_quick_leaves_nothing_but_its_folder(command, tmp_path):
    ended = command("debug=quick", "outputs=out")
    assert ended.code == 0, ended.err
    assert "epoch 1/1" in ended.out
    assert [path.name for path in (tmp_path / "work" / "out").iterdir()] == ["runs"]


def test_the_default_learns_the_digits(command, tmp_path, only_run, journal_of):
    """What conf/config.yaml promises: val/accuracy >= 0.95, on real data."""
    ended = command("tracking=none", "outputs=out", "tracking.artifacts=none")
    assert ended.code == 0, ended.err
    metrics = journal_of(only_run(tmp_path / "work" / "out")).metrics
    assert max(value for (name, _), value in metrics.items() if name == "val/accuracy") >= 0.95

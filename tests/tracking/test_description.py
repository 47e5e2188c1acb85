from pathlib import Path

from src.tracking import description
from src.tracking.history import History
from src.tracking.record import RunRecord

RECORD = RunRecord(
    id="20261123-1",
    name="n",
    params={
        "model._target_": "src.models.mlp.MLP",
        "model.hidden": [32],
        "optimizer._target_": "keras.optimizers.SGD",
        "optimizer.learning_rate": 0.1,
        "seed": 0,
        "epochs": 3,
        "data.batch_size": 64,
    },
    tags={"command": "python -m src.train optimizer=sgd"},
    dataset={
        "name": "digits",
        "train_rows": 1437,
        "val_rows": 360,
        "test_rows": None,
        "input_shape": [8, 8],
        "num_classes": 10,
    },
)


def history(status, reason, **more):
    return History(
        metrics={"val/loss": {1: 0.5, 2: 0.25, 3: float("nan")}},
        begins=[{"t": 0, "update": 0}],
        end={"status": status, "reason": reason, "update": 69, "epoch": 3, "t": 12_300},
        last_time=12_300,
        **more,
    )


def test_a_finished_run():
    text = description.of_run(
        RECORD, history("FINISHED", "all epochs done"), Path("/o/runs/x"), "0a"
    )
    assert text.startswith(
        "Finished after 3 epochs and 69 updates, 12.3 s after it began: all epochs done."
    )
    assert "- Data: digits, rows: 1,437 training, 360 validation; input (8, 8); 10 outputs" in text
    assert "- Model: `src.models.mlp.MLP` hidden=[32]" in text
    assert "- Optimizer: `keras.optimizers.SGD` learning_rate=0.1" in text
    assert "- Settings: seed=0, epochs=3, data.batch_size=64" in text
    assert "| val/loss | nan | 3 | 0.25 | 0.5 |" in text
    assert "    python -m src.train optimizer=sgd" in text
    assert "resume=" not in text
    assert "load_model" not in text
    assert "/o/runs/x" in text


def test_a_killed_run_says_how_to_go_on():
    text = description.of_run(RECORD, history("KILLED", "SIGTERM"), Path("/x"), "0a")
    assert text.startswith("**Stopped before its end** after 3 epochs")
    assert "python -m src.train resume=20261123-1" in text


def test_a_run_that_is_not_deterministic_says_so():
    text = description.of_run(
        RECORD, history("FINISHED", "", mismatch="update/loss differs"), Path("/x"), "0a"
    )
    assert "**Not deterministic:** update/loss differs." in text


def test_the_longest_description_still_fits():
    results = {
        "keys": ["a"],
        "rows": [{"number": i, "name": "x" * 300, "values": {"a": i}} for i in range(100)],
    }
    text = description.of_sweep(RECORD, history("FINISHED", ""), results, None)
    assert len(text) <= description.MAX_LENGTH


def test_a_model_comes_with_the_line_that_loads_it():
    text = description.of_run(RECORD, history("FINISHED", "", models=[{}]), Path("/x"), "0a")
    assert '    mlflow.pyfunc.load_model("runs:/0a/model")' in text

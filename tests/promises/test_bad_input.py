"""What bad input gets: one short message that names the key or the file and the mend, exit code 2
(1 where Hydra itself reports), no traceback, before the first update, and nothing left behind.
"""

import gzip
import json

import numpy as np
import pytest

# Overrides, and words of the one line that answers them. FILE is a file that the test prepares.
REFUSED = [
    ("data.batch_size=0", ["data.batch_size=0", "greater than 0"]),
    ("optimizer.learning_rate=-0.1", ["optimizer.learning_rate=-0.1", "greater than 0"]),
    ("optimizer.learning_rate=fast", ["optimizer.learning_rate=fast", "number"]),
    ("epochs=2.5", ["epochs=2.5", "integer"]),
    ("metrics=[accuracy,nonsense]", ["metrics", "nonsense"]),
    ("monitor=val/nonsense", ["monitor=val/nonsense", "val/loss"]),
    ("+unheard_of=1", ["unheard_of"]),
    ("+optimizer.unheard_of=1", ["optimizer", "unheard_of"]),
    ("+model.unheard_of=1", ["model.unheard_of", "hidden"]),
    ("+data.unheard_of=1", ["data.unheard_of"]),
    ("+schedule.unheard_of=1", ["schedule.unheard_of"]),
    ("+loss.unheard_of=1", ["loss.unheard_of"]),
    ("model.activation=rellu", ["model.activation=rellu", "relu"]),
    ("model.hidden=[0]", ["model.hidden", "greater than 0"]),
    ("model._target_=nowhere.Model", ["model._target_=nowhere.Model", "PYTHONPATH"]),
    ("optimizer._target_=keras.optimizers.Adamm", ["keras.optimizers.Adamm", "did you mean Adam"]),
    ("loss=categorical_crossentropy", ["loss", "data.labels=one_hot"]),
    ("loss=mean_squared_error", ["loss", "data.labels=one_hot"]),
    ("data=random loss=sparse_categorical_crossentropy", ["loss", "loss=categorical_crossentropy"]),
    ("data=random model=cnn", ["model=cnn", "model=mlp"]),
    ("data=random data.classes=1", ["data.classes=1", "greater than 1"]),
    ("data=random data.labels=integer", ["data.labels=integer", "data.labels=as_is"]),
    ("data.validation_fraction=0", ["data.validation_fraction=0", "above 0"]),
    ("data.validation_fraction=0.6 data.test_fraction=0.6", ["data.test_fraction=0.6", "below 1"]),
    ("schedule=piecewise schedule.values=[1]", ["schedule.values=[1.0]", "stretch"]),
    (
        "schedule=warmup_cosine schedule.warmup_updates=9999 epochs=1",
        ["schedule.warmup_updates=9999", "more epochs"],
    ),
    ("data=arrays", ["data.path", "FILE.npz"]),
    ("data=arrays data.path=no_such.npz", ["data.path=no_such.npz", "no such file"]),
    ("data=fashion_mnist data.path=no_such", ["data.path=no_such", "dataset-fashion-mnist"]),
    ("data=arrays data.path=FILE:labels outside", ["label 7", "data.num_classes=3"]),
    ("data=arrays data.path=FILE:one array", ["FILE", "y is missing"]),
    ("data=arrays data.path=FILE:unequal rows", ["FILE", "4 rows of x and 3 of y"]),
    ("data=arrays data.path=FILE:nan", ["FILE", "nan"]),
    ("data=arrays data.path=FILE:objects", ["FILE", "Python objects"]),
    ("data=arrays data.path=FILE:cut off", ["FILE"]),
    ("data=arrays data.path=FILE:text", ["FILE", "not a .npz file"]),
    ("data=arrays data.path=FILE:empty", ["FILE"]),
    ("data=fashion_mnist data.path=FILE:idx", ["train-images-idx3-ubyte", "truncated or damaged"]),
    ("data=csv", ["data.path", "FILE.csv"]),
    ("data=csv data.label=kind data.path=FILE:empty", ["FILE", "can't be read as a CSV file"]),
    ("data=text data.path=no_such.txt", ["data.path=no_such.txt", "no such file"]),
    ("data=text data.normalisation=range", ["data.normalisation=range", "normalisation=none"]),
    ("data=text data.characters=500", ["(1, 64, ", "model=transformer"]),
    ("data=image_folder data.path=no_such", ["data.path=no_such", "no such folder"]),
    ("data=diabetes task=classification", ["integer labels", "task=regression"]),
    ("model=resnet model.depth=9", ["model.depth", "8, 14, 20", "not 9"]),
    ("model=transformer model.width=5", ["model.width=5", "model.heads=4"]),
    ("model=transformer data=random", ["model=transformer", "(32,)", "model=mlp"]),
    ("resume=20200101-000000-aaaaaa", ["resume=20200101-000000-aaaaaa", "none yet"]),
    ("resume=no/such/folder", ["resume=no/such/folder"]),
    ("resume=true", ["resume=true", "auto"]),
    ("model=null", ["model=null"]),
    ("tracking.uri=somewhere", ["tracking.uri=somewhere", "sqlite:///FILE", "tracking=none"]),
    ("strategy=mirrored jit=true", ["jit=true", "strategy=none"]),
    ("strategy=mirrored data.batch_size=1", ["data.batch_size=1", "strategy.devices=2"]),
    ("strategy=mirrored strategy.devices=3", ["strategy.devices=3", "fewer devices"]),
    ("strategy=multiworker", ["TF_CONFIG", '"task": {"type": "worker", "index": 0}']),
    ("eager=true jit=true", ["jit=true", "eager=true"]),
    ("early_stopping.patience=0", ["early_stopping.patience=0", "greater than 0"]),
    ("early_stopping.min_delta=-1", ["early_stopping.min_delta=-1", "greater than or equal to 0"]),
    ("early_stopping.target=nan", ["early_stopping.target=nan", "finite"]),
    ("plateau.factor=1", ["plateau.factor=1", "less than 1"]),
    ("data.max_rows=0", ["data.max_rows=0", "greater than 0"]),
    ("step.log_gradients=2", ["step.log_gradients=2", "boolean"]),
    ("data=random augmentation=flip", ["augmentation", "images", "augmentation=none"]),
    ("augmentation=crop augmentation.padding=0", ["augmentation.padding=0", "greater than"]),
    (
        "augmentation=flip_crop_cutout augmentation.parts.cutout.size=-1",
        ["augmentation.parts.cutout.size=-1", "greater than"],
    ),
]
BY_HYDRA = [
    ("optimizer=no_such", ["optimizer/no_such", "adamw"]),
    ("optimzer=adam", ["optimzer"]),
    ("optimizer.lr=0.1", ["optimizer.lr"]),
    ("model.hidden=[3", ["[3"]),
    ("data.batch_size=1,2", ["data.batch_size=1,2", "--multirun"]),
    ("experiment=no_such", ["experiment/no_such"]),
]


def prepare_file(kind: str, folder) -> str:
    """A file that is wrong in the way that `kind` says."""
    path = folder / f"{kind.replace(' ', '_')}.npz"
    x, y = np.zeros((4, 2)), np.array([0, 1, 2, 1])
    if kind == "labels outside":
        np.savez(path, x=x, y=np.array([0, 1, 2, 7]))
        return f"{path} data.num_classes=3"
    if kind == "one array":
        np.savez(path, x=x)
    elif kind == "unequal rows":
        np.savez(path, x=x, y=y[:3])
    elif kind == "nan":
        np.savez(path, x=np.full((4, 2), np.nan), y=y)
    elif kind == "objects":
        np.savez(path, x=x, y=np.array([{}, 1, 2, 3], object))
    elif kind == "cut off":
        np.savez(path, x=x, y=y)
        path.write_bytes(path.read_bytes()[:-30])
    elif kind == "text":
        path.write_text("x,y\n1,2\n")
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path = folder / "idx"
        path.mkdir()
        header = bytes((0, 0, 8, 3)) + np.array([5, 28, 28], ">u4").tobytes()
        (path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + b"\0" * 10))
        (path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\0"))
    return str(path)


def left_behind(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("overrides", "words"), REFUSED, ids=[given for given, _ in REFUSED])
def test_it_is_refused_in_one_line_before_anything_is_written(command, tmp_path, overrides, words):
    given, _, kind = overrides.partition("FILE:")
    if kind:
        given += prepare_file(kind, tmp_path)
    elsewhere = tmp_path / "work"
    tracking = [] if "tracking." in given else ["tracking=none"]
    ended = command(*tracking, f"outputs={elsewhere / 'outputs'}", *given.split())
    assert ended.code == 2, ended
    assert len(ended.error) < 600
    for word in words:
        assert (kind.replace(" ", "_") if word == "FILE" else word) in ended.error
    assert left_behind(elsewhere) == []
    assert "epoch 1" not in ended.out


@pytest.mark.parametrize(("overrides", "words"), BY_HYDRA, ids=[given for given, _ in BY_HYDRA])
def test_what_hydra_reports_has_no_traceback_either(command, tmp_path, overrides, words):
    ended = command(*overrides.split(), f"outputs={tmp_path / 'work' / 'outputs'}")
    assert ended.code == 1
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert left_behind(tmp_path / "work") == []


@pytest.mark.parametrize(
    "overrides",
    [
        "data=arrays data.path=no_such.npz",
        pytest.param("model.hidden=[0]", marks=pytest.mark.slow),  # by then the store was prepared
    ],
)
def test_with_tracking_on_nothing_is_left_behind_either(command, tmp_path, overrides):
    outputs = tmp_path / "work" / "outputs"
    ended = command(f"outputs={outputs}", *overrides.split())
    assert ended.code == 2
    assert "\n" not in ended.error
    assert not list(outputs.glob("runs/*"))
    # The store itself may stand there, whole: preparing it is nothing of this run.
    assert not outputs.exists() or set(left_behind(outputs)) <= {"mlflow.db", ".mlflow.db.lock"}


@pytest.mark.parametrize("place", ["file", "below a file", "without rights"])
def test_an_outputs_folder_that_cannot_be_written(command, tmp_path, place):
    import os

    file = tmp_path / "file"
    file.write_text("kept")
    outputs = {
        "file": file,
        "below a file": file / "outputs",
        "without rights": "/proc/outputs" if os.geteuid() == 0 else "/outputs",
    }[place]
    ended = command("tracking=none", f"outputs={outputs}")
    assert ended.code == 2
    assert ended.error.startswith(f"outputs={outputs}: ")
    assert ended.error.endswith("choose another outputs=DIR")
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["data.batch_size=0", "tracking=none"], 2),
        (["data=arrays", "data.path=no_such.npz", "tracking=none"], 2),
        (["optimizer=no_such"], 1),
    ],
    ids=["wrong value", "no file", "no choice"],
)
def test_a_process_of_its_own_answers_the_same(process, tmp_path, arguments, code):
    ended = process(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert "Traceback" not in ended.err
    if code == 2:
        assert ended.error
    assert left_behind(tmp_path / "process") == []


@pytest.mark.parametrize("broken", ["{", "[]", '{"name": 1}', ""])
def test_another_runs_damaged_record_is_named(command, tmp_path, broken):
    folder = tmp_path / "outputs" / "runs" / "20261123-101500-abc123"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(broken)
    ended = command("tracking=none", f"outputs={tmp_path / 'outputs'}", f"resume={folder.name}")
    assert ended.code == 2
    assert "run.json" in ended.error
    ended = command("tracking=none", f"outputs={tmp_path / 'outputs'}", "resume=no_such")
    assert ended.code == 2
    assert ended.error.startswith("resume=no_such: ")
    assert "run.json" in ended.err
    assert "python -m src.doctor sets it aside" in ended.err


def test_a_run_that_another_process_is_writing_is_not_gone_on_with(
    trained, command, tmp_path, tiny
):
    from src.tracking.journal import Journal

    run = trained("epochs=1")
    (run.folder / "artifacts" / "summary.json").write_text(json.dumps({"status": "KILLED"}))
    with Journal(run.folder / "journal.jsonl"):
        given = [*tiny("epochs=1"), f"outputs={tmp_path / 'outputs'}"]
        ended = command(*given, "resume=auto")
    assert ended.code == 2
    assert "written by another process" in ended.error
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 1

"""A run that is stopped and goes on gives the same bits as one never stopped, at any update."""

import hashlib
import json
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from src import fit
from src.engine.checkpoint import Checkpoints
from src.interruption import Interrupted, Interruption

EPOCHS, UPDATES = 2, 6  # 20 rows in batches of 8: three updates an epoch, the last of 4 rows

KINDS = {
    "dropout, Adam, moving average, schedule": [
        "model.dropout=0.4",
        "optimizer=adam",
        "ema.decay=0.9",
        "schedule=warmup_cosine",
        "step.log_gradients=true",
    ],
    "images changed, batch normalisation, dropout, momentum, accumulation": [
        "data=pictures",
        "model=cnn",
        "model.filters=[3]",
        "augmentation=flip_crop_cutout",
        "augmentation.parts.cutout.size=2",
        "model.dropout=0.3",
        "optimizer=momentum",
        "accumulate=2",
        "epochs=1",
    ],
    "regression, R^2 over the batches so far": [
        "data=pictures",
        "data.task=regression",
        "task=regression",
        "model.hidden=[4]",
        "epochs=1",
    ],
    "stopped early, after a plateau": [
        "early_stopping.patience=2",
        "early_stopping.min_delta=1000",
        "plateau.patience=1",
        "plateau.min_delta=1000",
        "epochs=9",
    ],
    "tokens, a label for each, dropout": [
        "data=text",
        "data.length=5",
        "data.characters=126",  # 20 rows to train on
        "data.batch_size=8",
        "model=transformer",
        "model.width=4",
        "model.depth=1",
        "model.heads=2",
        "model.dropout=0.3",
        "optimizer=adam",
        "epochs=1",
    ],
    "compiled by XLA, mixed precision": ["jit=true", "precision=mixed_float16", "epochs=1"],
    "SAM, batch normalisation, dropout": [
        "data=pictures",
        "model=cnn",
        "model.filters=[3]",
        "model.dropout=0.3",
        "step=sam",
        "epochs=1",
    ],
    "mixup": ["step=mixup", "step.alpha=1.0", "optimizer=adam", "epochs=1"],
    "attacks from random starts": ["step=adversarial", "step.epsilon=0.2", "epochs=1"],
    "line by line, dropout": ["eager=true", "jit=auto", "model.dropout=0.4"],
}


SLOW = (
    "stopped early, after a plateau",
    "SAM, batch normalisation, dropout",
    "attacks from random starts",
    "tokens, a label for each, dropout",
    "compiled by XLA, mixed precision",
    "mixup",
)


@pytest.fixture(
    params=[pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW)) for kind in KINDS]
)
def overrides(request, pictures):
    given = list(KINDS[request.param])
    if "data=pictures" in given:
        given[:1] = ["data=arrays", f"data.path={pictures}", "data.batch_size=8"]
    return [f"epochs={EPOCHS}", *given]


class OneByOne(fit.Pace):
    """One update a call."""

    def next(self, left):
        self._now = 1
        return 1


@pytest.fixture
def stopped(train_in, monkeypatch):
    """Train with one update a call, and stop as Ctrl-C does after `updates` calls."""
    from src import training
    from src.engine.program import Program

    def train(folder, updates, *given):
        interruptions = []

        class Noted(Interruption):
            def __init__(self):
                super().__init__()
                interruptions.append(self)

        calls = []
        original = Program.run

        def run(program, start, rates, active):
            calls.append(len(rates))
            if len(calls) == updates:
                interruptions[-1].signal = signal.SIGINT
            return original(program, start, rates, active)

        with monkeypatch.context() as patched:
            patched.setattr(training, "Interruption", Noted)
            patched.setattr(Program, "run", run)
            patched.setattr(fit, "Pace", OneByOne)
            with pytest.raises(Interrupted) as raised:
                train_in(folder, *given)
        assert raised.value.exit_code == 130
        assert calls == [1] * updates

    return train


def assert_same(found, expected):
    """Two journals hold the same values at the same steps, bit for bit, and the same digest."""
    for tag in ("state_sha256", "stopped_early"):
        assert found.tags[tag] == expected.tags[tag]
    assert found.metrics == expected.metrics
    for key, values in expected.updates.items():
        np.testing.assert_array_equal(found.updates[key], values)
    assert found.kind("mismatch") == []


def test_stopped_after_every_single_update(
    overrides, train_in, stopped, tmp_path, only_run, journal_of
):
    whole = journal_of(train_in(tmp_path / "whole", *overrides).folder)
    stops_early = "early_stopping.patience=2" in overrides
    updates = 3 if "epochs=1" in overrides else 9 if stops_early else UPDATES
    losses = whole.updates["update/loss"].tolist()
    assert len(losses) == len(set(losses)) == updates  # each of them tells something
    assert whole.tags["stopped_early"] == str(stops_early).lower()
    rates = set(whole.updates["update/learning_rate"].tolist())
    assert not stops_early or len(rates) == 2
    stops = updates - stops_early  # in the last call that one has ended before the signal counts
    for _ in range(stops):
        stopped(tmp_path / "parts", 1, *overrides, "resume=auto")
    parts = train_in(tmp_path / "parts", *overrides, "resume=auto")
    assert parts.status == "FINISHED"
    journal = journal_of(only_run(tmp_path / "parts" / "outputs"))
    assert [line["update"] for line in journal.kind("begin")] == list(range(stops + 1))
    assert_same(journal, whole)


# -- from a run that was killed after the second of its six updates


@pytest.fixture
def outputs(tmp_path):
    return tmp_path / "outputs"


@pytest.fixture(scope="module")
def half_once(train_in, tmp_path_factory, only_run):
    """The folder of a run whose six updates are to go on after the second."""
    from src.engine.program import Program

    class Stopped(BaseException):
        pass

    original = Program.run

    def run(program, start, rates, active):
        if len(calls) == 2:
            raise Stopped
        calls.append(len(rates))
        return original(program, start, rates[:1], active)

    folder, calls = tmp_path_factory.mktemp("half"), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Program, "run", run)
        patched.setattr("src.fit.Pace", OneByOne)
        with pytest.raises(Stopped):
            train_in(folder, f"epochs={EPOCHS}", "checkpoint.every_seconds=1e-9")
    return only_run(folder / "outputs")


@pytest.fixture
def half(half_once, outputs):
    """A copy of it, for a test to do with as it likes."""
    return Path(shutil.copytree(half_once, outputs / "runs" / half_once.name))


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory, journal_of):
    """The journal of the same run, never stopped."""
    return journal_of(train_in(tmp_path_factory.mktemp("whole"), f"epochs={EPOCHS}").folder)


def test_updates_lost_with_a_kill_are_made_again_and_agree(
    half, whole, train_in, tmp_path, journal_of
):
    # The journal is ahead of the checkpoint.
    assert len(journal_of(half).updates["update/loss"]) == 2
    shutil.rmtree(half / "checkpoints" / "00000002")
    train_in(tmp_path, f"epochs={EPOCHS}", "resume=auto")
    journal = journal_of(half)
    assert [line["update"] for line in journal.kind("begin")] == [0, 1]
    assert_same(journal, whole)


def test_a_value_that_differs_when_it_is_made_again_is_told(
    half, train_in, tmp_path, journal_of, newest_of, capsys
):
    shutil.rmtree(half / "checkpoints" / "00000002")
    # Another weight in the checkpoint, so that the second update's loss is another.
    found = newest_of(half)
    found.last["model/002/mlp/logits/kernel"][:, 0] += 0.5
    Checkpoints(half / "checkpoints").save(1, found.last, found.best, found.progress)
    train_in(tmp_path, f"epochs={EPOCHS}", "resume=auto")
    [line] = journal_of(half).kind("mismatch")
    assert (line["key"], line["step"]) == ("update/loss", 2)
    assert "warning: update/loss at step 2" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    half, whole, train_in, tmp_path, journal_of, capsys
):
    file = half / "checkpoints" / "00000002" / "last.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    train_in(tmp_path, f"epochs={EPOCHS}", "resume=auto")
    said = capsys.readouterr().err
    assert "warning: Checkpoint set aside as damaged-00000002" in said
    assert "last.safetensors" in said
    assert_same(journal_of(half), whole)


def test_a_run_whose_checkpoints_are_all_gone_starts_from_its_beginning(
    half, whole, train_in, tmp_path, journal_of
):
    shutil.rmtree(half / "checkpoints")
    train_in(tmp_path, f"epochs={EPOCHS}", "resume=auto")
    assert_same(journal_of(half), whole)


def test_more_epochs_may_be_asked_for(whole, train_in, tmp_path, journal_of):
    short = train_in(tmp_path, "epochs=1")
    longer = train_in(
        tmp_path, f"resume={short.tracker.record.id}", f"epochs={EPOCHS}", "checkpoint.keep=1"
    )
    assert longer.folder == short.folder
    journal = journal_of(longer.folder)
    assert journal.tags["state_sha256"] == whole.tags["state_sha256"]
    np.testing.assert_array_equal(journal.updates["update/loss"], whole.updates["update/loss"])


def test_the_digest_is_that_of_the_checkpoints_bytes(trained, journal_of):
    """Read by hand: neither the program nor safetensors has a part in it."""
    run = trained("epochs=1", "model.dropout=0.4", "optimizer=adam")
    [folder] = (run.folder / "checkpoints").iterdir()
    content = (folder / "last.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    kinds = {"F32": "<f4", "I64": "<i8", "I32": "<i4", "U32": "<u4"}
    digest = hashlib.sha256()
    for name in sorted(set(header) - {"__metadata__"}):
        begin, end = header[name]["data_offsets"]
        shape = tuple(header[name]["shape"])
        digest.update(f"{name}|{kinds[header[name]['dtype']]}|{shape}|".encode())
        digest.update(data[begin:end])
    assert journal_of(run.folder).tags["state_sha256"] == digest.hexdigest()


# -- what can't go on


@pytest.fixture
def untouched(half):
    """Whether the run's folder is as it was, byte for byte."""

    def content():
        return {
            str(path.relative_to(half)): path.read_bytes()
            for path in sorted(half.rglob("*"))
            if path.is_file()
        }

    before = content()
    return lambda: content() == before


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("optimizer.learning_rate=0.3", "optimizer.learning_rate"),
        ("data.batch_size=7", "data.batch_size"),
        ("model.hidden=[6]", "model.hidden"),
        ("seed=5", "seed"),
        ("optimizer=adam", "optimizer._target_"),
        ("schedule=cosine", "schedule._target_"),
    ],
)
def test_another_result_is_refused_in_one_line(half, untouched, command, outputs, override, key):
    ended = command(f"outputs={outputs}", f"resume={half.name}", override)
    assert ended.code == 2
    assert ended.error.startswith(f"{key}") or f"{key.split('.')[0]}." in ended.error
    assert "resumed run keeps what decides its result" in ended.error
    assert untouched()
    assert [path.name for path in (outputs / "runs").iterdir()] == [half.name]


@pytest.mark.parametrize(
    "change",
    [
        lambda last: {
            name: np.zeros((*value.shape, 2), np.float32) if "kernel" in name else value
            for name, value in last.items()
        },
        lambda last: last | {"model/999/another/kernel": np.zeros(3, np.float32)},
        lambda last: {name: value for name, value in last.items() if "kernel" not in name},
        lambda last: {},
    ],
    ids=["other shapes", "a variable more", "variables missing", "empty"],
)
def test_a_checkpoint_of_another_model_is_refused_in_one_line(
    half, command, outputs, newest_of, change
):
    found = newest_of(half)
    shutil.rmtree(found.folder)
    Checkpoints(half / "checkpoints").save(2, change(found.last), found.best, found.progress)
    ended = command(f"outputs={outputs}", f"resume={half.name}")
    assert ended.code == 2
    assert ended.error.startswith("resume: ")
    assert "00000002 is of another model" in ended.error


def test_a_foreign_checkpoint_file_is_never_unpickled(half, command, outputs, tmp_path):
    """A pickle that would leave a file behind if anything loaded it."""

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for file in (half / "checkpoints").rglob("*.safetensors"):
        file.write_bytes(pickle.dumps(Trap()))
    ended = command(f"outputs={outputs}", f"resume={half.name}")
    assert ended.code == 0  # damaged, so set aside: the run starts from its beginning
    assert "does not match its digest" in ended.err
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["run.json", "config.yaml", "overrides.yaml", "journal.jsonl"])
def test_a_damaged_file_of_the_run_is_named(half, command, outputs, kind):
    (half / kind).write_bytes(b"\x00\xff garbage \n more \n")
    ended = command(f"outputs={outputs}", f"resume={half}")
    assert ended.code == 2
    assert kind in ended.error


def test_a_sweep_is_no_run_to_go_on_with(command, outputs, tiny):
    given = [*tiny("epochs=1"), f"outputs={outputs}"]
    assert command("-m", *given, "seed=1,2").code == 0
    [sweep] = (outputs / "sweeps").iterdir()
    ended = command(f"outputs={outputs}", f"resume={sweep}")
    assert ended.code == 2
    assert ended.error.startswith("resume=")


def test_safetensors_reads_what_is_saved(half):
    content = (half / "checkpoints" / "00000002" / "last.safetensors").read_bytes()
    assert "metrics/000/loss/total" in safetensors.numpy.load(content)

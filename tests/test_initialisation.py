"""`init_from`: a run starts from the weights of another one, or says why it can't."""

import hashlib
import shutil

import numpy as np
import pytest

from src import initialisation, programs, restored
from src.engine import state
from src.errors import UserError
from src.job import load_data
from src.recorded import Recorded
from tests.conftest import hydra_open


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("initialisation")


@pytest.fixture(scope="module")
def source(folder, train_in):
    """A run of two epochs, whose best is not its last."""
    run = train_in(folder, "epochs=2", "monitor=train/loss", "optimizer.learning_rate=3")
    assert run.best is not None
    return run


@pytest.fixture
def prepared(folder, source, tiny):
    """The job of overrides, in the folder of the source run."""
    from hydra import compose

    from src.job import prepare

    def make(*overrides):
        given = [*tiny(f"outputs={folder / 'outputs'}", *overrides)]
        with hydra_open():
            return prepare(compose("config", overrides=given), given)

    return make


def weights(job):
    """The weights that a job starts from, by path."""
    program = programs.compiled([job.config], load_data(job.config)[0])
    return {variable.path: variable.numpy() for variable in program.step.model.weights}


@pytest.mark.parametrize("which", ["best", "last"])
def test_it_starts_from_these_weights_and_records_them(source, prepared, newest_of, which, folder):
    found = newest_of(source.folder)
    expected = found.best if which == "best" else found.last
    job = prepared(f"init_from={source.tracker.record.id}:{which}", "seed=7")
    for path, value in weights(job).items():
        [name] = [name for name in expected if name.startswith("model/") and name.endswith(path)]
        np.testing.assert_array_equal(value, expected[name])
    file = found.folder / f"{which}.safetensors"
    assert job.config.init_digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert job.config.init_from == f"{source.tracker.record.id}:{which}"
    # A folder elsewhere, and without a word of which: the best.
    copy = shutil.copytree(source.folder, folder / f"copy of {which}")
    other = prepared(f"init_from='{copy}'")
    assert other.config.init_from == f"{copy}:best"
    assert (other.config.init_digest == job.config.init_digest) is (which == "best")


def test_an_output_layer_of_another_width(source, prepared):
    given = (f"init_from={source.tracker.record.id}", "data.classes=6", "seed=7")
    with pytest.raises(UserError) as raised:
        weights(prepared(*given))
    assert str(raised.value) == (
        f"init_from={source.tracker.record.id}:best: another model: mlp/logits/kernel is (5, 4) "
        "there and (5, 6) here; mlp/logits/bias is (4,) there and (6,) here; init_skip=REGEX "
        "leaves out the variables whose paths match"
    )
    found = weights(prepared(*given, "init_skip=logits", "ema.decay=0.9"))
    expected = weights(prepared(f"init_from={source.tracker.record.id}"))
    drawn = weights(prepared(*given[1:]))
    for path, value in found.items():
        np.testing.assert_array_equal(value, (drawn if "logits" in path else expected)[path])


def test_a_deeper_model(source, prepared):
    given = (f"init_from={source.tracker.record.id}", "model.hidden=[5,5]")
    with pytest.raises(UserError, match=r"mlp/dense_2/kernel is not there; mlp/dense_2/bias is"):
        weights(prepared(*given))


def test_the_average_begins_with_the_weights(source, prepared):
    job = prepared(f"init_from={source.tracker.record.id}", "ema.decay=0.9")
    program = programs.compiled([job.config], load_data(job.config)[0])
    assert {n: v.tobytes() for n, v in program.evaluated().items()} == {
        n: v.tobytes() for n, v in program.snapshot(owner="model/").items()
    }


def test_fused_members_may_start_from_several_runs(source, prepared):
    identifier = source.tracker.record.id
    jobs = [
        prepared("seed=3"),
        prepared(f"init_from={identifier}"),
        prepared(f"init_from={identifier}:last"),
    ]
    dataset, _ = load_data(jobs[0].config)
    program = programs.compiled([job.config for job in jobs], dataset, force=True)
    for member, job in enumerate(jobs):
        expected = weights(job)
        for name, value in program.snapshot(member, "model/").items():
            np.testing.assert_array_equal(value, expected[name.split("/", 2)[2]])


def test_a_run_that_goes_on_needs_its_source_no_more(train_in, tmp_path, journal_of):
    source = train_in(tmp_path, "epochs=1")
    given = (f"init_from={source.tracker.record.id}", "seed=1")
    whole = train_in(tmp_path, *given, "epochs=2")
    short = train_in(tmp_path, *given, "epochs=1")
    digest = short.tracker.record.params["init_digest"]
    assert digest == whole.tracker.record.params["init_digest"]
    shutil.rmtree(source.folder)
    longer = train_in(tmp_path, f"resume={short.tracker.record.id}", "epochs=2")
    assert longer.folder == short.folder
    [first, second] = [journal_of(run.folder).tags["state_sha256"] for run in (whole, longer)]
    assert first == second
    recorded = Recorded.find(str(longer.folder), tmp_path)
    made, _ = restored.program(recorded, recorded.config, load_data(recorded.config)[0], "last")
    assert state.sha256(made.snapshot()) == second


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["init_from=nobody"], "init_from=nobody: neither a run id nor a run's folder"),
        (["init_from=nobody:best"], "init_from=nobody: neither a run id"),
        (["init_skip=logits"], "init_skip=logits: it belongs to init_from=RUN_ID"),
        (["init_from=SOURCE", "init_skip='('"], "init_skip=(: it is no regular expression"),
        (["init_from=SOURCE", f"init_digest={'0' * 64}"], "init_digest=0000"),
        (["init_from=SOURCE", "init_digest=12"], "init_digest=12"),
    ],
)
def test_what_is_no_start_is_refused_before_tensorflow(prepared, source, overrides, said):
    given = [each.replace("SOURCE", source.tracker.record.id) for each in overrides]
    with pytest.raises(UserError) as raised:
        prepared(*given)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(("pattern", "said"), [("dens_", "no variable"), ("mlp", "every variable")])
def test_a_pattern_that_leaves_out_nothing_or_all(prepared, source, pattern, said):
    job = prepared(f"init_from={source.tracker.record.id}", f"init_skip={pattern}")
    with pytest.raises(UserError, match=rf"^init_skip={pattern}: it matches {said}.*mlp/dense_1"):
        weights(job)


def test_a_run_without_an_epoch_has_no_best(tmp_path, source):
    copy = shutil.copytree(source.folder, tmp_path / "copy")
    for file in copy.glob("checkpoints/*/best.safetensors"):
        file.unlink()
    with pytest.raises(UserError, match="no epoch of that run has been validated yet; :last"):
        initialisation._find(str(copy), tmp_path)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UserError, match="that run has no checkpoint yet"):
        initialisation._find(str(copy), tmp_path)

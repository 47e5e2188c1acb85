"""What of a configuration decides a run, and what of it decides the compiled program."""

import pytest

from src.identity import fingerprint, program_key


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "epochs=31",
        "data.batch_size=65",
        "data.seed=1",
        "model.hidden=[33]",
        "model=linear",
        "optimizer.learning_rate=0.2",
        "optimizer=momentum",
        "schedule=cosine",
        "loss.label_smoothing=0.1",
        "jit=false",
        "eager=true",
        "monitor=val/accuracy",
        "metrics=[]",
    ],
)
def test_what_decides_the_result_changes_the_fingerprint(configured, override):
    assert fingerprint(configured(override)) != fingerprint(configured())


def test_what_only_says_how_a_run_is_recorded_does_not(configured):
    other = configured(
        "resume=auto",
        "outputs=/elsewhere",
        "name=other",
        "log_every=7",
        "tracking=none",
        "tracking.experiment=other",
        "checkpoint.keep=5",
        "checkpoint.every_seconds=1",
        "objective=val/accuracy",
    )
    assert fingerprint(other) == fingerprint(configured())


def test_the_fingerprint_is_the_same_in_any_order_of_overrides(configured):
    assert fingerprint(configured("seed=1", "epochs=2")) == fingerprint(
        configured("epochs=2", "seed=1")
    )


@pytest.mark.parametrize(
    "override", ["seed=1", "optimizer.learning_rate=0.2", "schedule=cosine", "name=x"]
)
def test_what_a_program_holds_as_tensors_does_not_decide_it(configured, override):
    assert program_key(configured(override)) == program_key(configured())


@pytest.mark.parametrize(
    "override",
    ["data.batch_size=65", "data.seed=1", "model.hidden=[33]", "optimizer=adam", "jit=false"],
)
def test_all_else_decides_the_program(configured, override):
    assert program_key(configured(override)) != program_key(configured())

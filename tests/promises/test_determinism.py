"""The same command gives the same bits in another process; another seed gives others."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("given", "environment"),
    [
        (("jit=auto", "optimizer=momentum", "epochs=3"), {}),
        # A user's ~/.keras/keras.json, hash seed and choice of backend are not part of a run.
        pytest.param(
            ("model.dropout=0.4", "optimizer=adam", "epochs=3"),
            {"PYTHONHASHSEED": "7", "KERAS_BACKEND": "jax"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["XLA", "graph with dropout, other surroundings"],
)
def test_equal_commands_give_equal_bits_in_two_processes(
    given, environment, command, process, tmp_path, tiny, only_run, journal_of
):
    if environment:
        (tmp_path / ".keras").mkdir()
        (tmp_path / ".keras" / "keras.json").write_text(
            '{"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first",'
            ' "backend": "jax"}'
        )
        environment = environment | {"HOME": str(tmp_path)}
    given = tiny(*given)
    there = process(*given, f"outputs={tmp_path / 'there'}", **environment)
    assert there.code == 0, there.err
    here = command(*given, f"outputs={tmp_path / 'here'}")
    assert here.code == 0, here.err
    one, other = (journal_of(only_run(tmp_path / name)) for name in ("there", "here"))
    assert one.tags["state_sha256"] == other.tags["state_sha256"]
    assert one.metrics == other.metrics
    for key, values in one.updates.items():
        np.testing.assert_array_equal(other.updates[key], values)
    assert len(one.updates["update/loss"]) == 9


def test_seeds_decide_weights_order_and_dropout_and_the_split_has_its_own(
    train_in, tmp_path, journal_of
):
    digests, losses = {}, {}
    for number, given in enumerate([(), ("seed=1",), ("data.seed=1",), ("log_every=1",)]):
        run = train_in(tmp_path / str(number), "epochs=1", "model.dropout=0.4", *given)
        journal = journal_of(run.folder)
        digests[given] = journal.tags["state_sha256"]
        losses[given] = journal.updates["update/loss"].tolist()
    # What says only how a run is shown changes nothing, nor what ran before in the process.
    assert digests[()] == digests[("log_every=1",)]
    assert len(set(digests.values())) == 3
    assert losses[()] != losses[("seed=1",)]
    assert losses[()] != losses[("data.seed=1",)]

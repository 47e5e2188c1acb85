"""A fused program's members: they stop alone, and their states are their own."""

import numpy as np
import pytest

from src import programs
from src.build import build
from src.engine import state
from src.job import load_data
from tests.engine.members import MODELS, quick_and_slow, train, with_values

HOT = np.inf  # a learning rate that makes the weights overflow


@pytest.mark.parametrize("name", quick_and_slow(MODELS, {"mlp", "cnn_dropout"}))
def test_a_member_that_fails_leaves_its_neighbours_alone(configs, name):
    made = configs("optimizer=momentum", *MODELS[name])
    dataset, _ = load_data(made[0])
    hot = with_values(made, "optimizer", [{}, {"learning_rate": HOT}, {}])
    program = programs.compiled(made, dataset, keep=True, force=True)
    expected = train(program, made, dataset, epochs=3)[0]
    program = programs.compiled(made, dataset, keep=True, force=True)
    losses = train(program, hot, dataset, epochs=3)[0]
    assert not np.isfinite(losses[-1, 1])
    np.testing.assert_array_equal(losses[:, [0, 2]], expected[:, [0, 2]])


def test_a_frozen_member_keeps_its_state(configs):
    made = configs("optimizer=adam", *MODELS["cnn_dropout"])
    dataset, _ = load_data(made[0])
    program = programs.compiled(made, dataset, force=True)
    train(program, made, dataset, epochs=2)
    frozen, others = program.snapshot(1), [program.snapshot(0), program.snapshot(2)]
    train(program, made, dataset, epochs=2, active=[True, False, True])
    assert state.sha256(program.snapshot(1)) == state.sha256(frozen)
    assert state.sha256(program.snapshot(0)) != state.sha256(others[0])
    assert state.sha256(program.snapshot(2)) != state.sha256(others[1])


@pytest.fixture
def small(configs):
    """A fused program of three linear models, its data set and configurations."""
    made = configs("optimizer=adam", *MODELS["linear"])
    dataset, _ = load_data(made[0])
    return programs.compiled(made, dataset), dataset, made


def test_members_begin_as_their_solo_runs(small):
    program, dataset, made = small
    for member, config in enumerate(made):
        expected = state.snapshot(build(config, dataset, config.seed))
        found = program.snapshot(member)
        # Only the learning rate differs: it is assigned at each update.
        assert {n: v.tobytes() for n, v in found.items() if "learning_rate" not in n} == {
            n: v.tobytes() for n, v in expected.items() if "learning_rate" not in n
        }


def test_a_state_is_given_back_to_one_member_alone(small):
    program, dataset, made = small
    before = [program.snapshot(member) for member in range(3)]
    train(program, made, dataset, epochs=1)
    after = [program.snapshot(member) for member in range(3)]
    program.restore(before[1], 1)
    assert state.sha256(program.snapshot(1)) == state.sha256(before[1])
    program.evaluate(dataset.val)  # takes it to the device and back
    for member, expected in enumerate([after[0], before[1], after[2]]):
        assert state.sha256(program.snapshot(member)) == state.sha256(expected)


def test_a_snapshot_is_a_copy(small):
    program, dataset, made = small
    taken = program.snapshot(0)
    digest = state.sha256(taken)
    train(program, made, dataset, epochs=1)
    assert state.sha256(taken) == digest
    for value in program.snapshot(0).values():
        value[...] = 7
    assert state.sha256(program.snapshot(0)) != state.sha256(program.snapshot(1))
    assert not any((value == 7).all() for value in program.snapshot(0, "model/").values())


def test_a_part_of_the_state_by_its_owner(small):
    names = small[0].snapshot(2, "model/")
    assert names
    assert all(name.startswith("model/") for name in names)


def test_what_does_not_fit_is_refused_and_changes_nothing(small):
    program, *_ = small
    before = program.snapshot(0)
    name = next(iter(before))
    with pytest.raises(ValueError, match="which this model and optimizer don't have"):
        program.restore({name: before[name] + 1, "model/elsewhere": np.zeros(1)}, 0)
    with pytest.raises(ValueError, match="has shape"):
        program.restore({name: np.zeros((1, 1), np.float32)}, 0)
    assert state.sha256(program.snapshot(0)) == state.sha256(before)


def test_the_model_with_a_members_weights(small):
    program, dataset, made = small
    train(program, made, dataset, epochs=1)
    outputs = [program.model(member)(dataset.val.x).numpy() for member in range(3)]
    alone = programs.compiled([made[2]], dataset)
    train(alone, [made[2]], dataset, epochs=1)
    np.testing.assert_allclose(outputs[2], alone.model()(dataset.val.x), rtol=1e-5)
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_a_member_goes_on_alone_from_its_state(small):
    program, dataset, made = small
    train(program, made, dataset, epochs=2)
    alone = programs.compiled([made[1]], dataset)
    alone.restore(program.snapshot(1))
    losses = train(program, made, dataset, epochs=2)[0]
    np.testing.assert_allclose(losses[:, 1:2], train(alone, [made[1]], dataset, 2)[0], rtol=1e-5)

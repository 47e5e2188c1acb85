"""Names that never vary, values that are copies, and the digest by hand."""

import hashlib
import struct

import keras
import numpy as np
import pytest

from src.engine import state
from src.steps.standard import Standard


@pytest.fixture
def step(tensorflow):
    keras.utils.clear_session()
    model = keras.Sequential(
        [keras.layers.Input((3,)), keras.layers.Dense(2, name="same"), keras.layers.Dropout(0.5)],
        name="net",
    )
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return Standard(
        model, optimizer, keras.losses.MeanSquaredError(), {"loss": keras.metrics.Mean("loss")}
    )


def test_it_is_every_variable_by_owner_and_place(step):
    names = list(state.variables(step))
    assert names[:2] == ["model/000/net/same/kernel", "model/001/net/same/bias"]
    assert names[2].startswith("model/002/")
    assert names[2].endswith("seed_generator_state")  # where the dropout stands
    assert names[3:5] == ["optimizer/000/adam/iteration", "optimizer/001/adam/learning_rate"]
    # Two moments for each of two weights.
    assert [name[:14] for name in names[5:9]] == [f"optimizer/00{n}/" for n in range(2, 6)]
    assert names[9:] == ["metrics/000/loss/total", "metrics/001/loss/count"]


def test_two_variables_of_one_path_are_kept_apart(step):
    twins = [keras.Variable(np.float32(number), name="w") for number in range(2)]

    class Twins(Standard):
        @property
        def state(self):
            return {"model": twins}

    made = Twins(step.model, step.optimizer, step.loss, step.metrics)
    assert list(state.variables(made)) == ["model/000/w", "model/001/w"]
    state.restore(made, {"model/001/w": np.array(5, np.float32)})
    assert [float(twin.numpy()) for twin in twins] == [0, 5]


def test_a_snapshot_is_a_copy(step):
    kernel = step.model.trainable_variables[0]
    before = state.snapshot(step)
    kept = before["model/000/net/same/kernel"].copy()
    kernel.assign(np.full((3, 2), 9, np.float32))
    np.testing.assert_array_equal(before["model/000/net/same/kernel"], kept)
    # And what is done to it doesn't reach the model.
    after = state.snapshot(step)
    after["model/000/net/same/kernel"][:] = 1
    np.testing.assert_array_equal(kernel.numpy(), np.full((3, 2), 9))


def test_part_of_the_state_by_its_owner(step):
    assert [name.split("/")[0] for name in state.snapshot(step, "model/")] == ["model"] * 3


def test_restoring_gives_back_every_value(step):
    before = state.snapshot(step)
    for number, variable in enumerate(state.variables(step).values()):
        variable.assign(np.full(variable.shape, number + 1, variable.dtype))
    assert state.sha256(state.snapshot(step)) != state.sha256(before)
    state.restore(step, before)
    assert state.sha256(state.snapshot(step)) == state.sha256(before)


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        (
            {"model/000/net/other/kernel": np.zeros((3, 2))},
            "model/000/net/other/kernel, which this model",
        ),
        (
            {"model/000/net/same/kernel": np.zeros((3, 4))},
            r"model/000/net/same/kernel has shape \(3, 4\), this model's is \(3, 2\)",
        ),
    ],
)
def test_what_belongs_to_another_model_is_refused_before_anything_changes(step, foreign, said):
    before = state.sha256(state.snapshot(step))
    with pytest.raises(ValueError, match=said):
        state.restore(step, {"model/001/net/same/bias": np.ones(2, np.float32)} | foreign)
    assert state.sha256(state.snapshot(step)) == before


def test_part_of_a_state_leaves_the_rest_as_it_is(step):
    state.restore(step, {"model/001/net/same/bias": np.ones(2, np.float32)})
    after = state.snapshot(step)
    assert after["model/001/net/same/bias"].tolist() == [1, 1]
    assert after["optimizer/000/adam/iteration"] == 0


def test_the_digest_is_over_name_dtype_shape_and_bytes_in_order_of_name():
    values: dict[str, np.ndarray] = {
        "b": np.array([[1.5], [-2.0]], np.float32),
        "a": np.array(7, np.int64),
    }
    by_hand = b"a|<i8|()|" + struct.pack("<q", 7) + b"b|<f4|(2, 1)|" + struct.pack("<2f", 1.5, -2.0)
    assert state.sha256(values) == hashlib.sha256(by_hand).hexdigest()


def test_the_digest_tells_states_apart_that_differ_in_one_thing():
    base = {"a": np.array([1.0, 0.0], np.float32)}
    others: list[dict[str, np.ndarray]] = [
        {"b": base["a"]},
        {"a": base["a"].astype(np.float64)},
        {"a": base["a"].reshape(2, 1)},
        {"a": np.array([1.0, -0.0], np.float32)},
        {"a": np.array([1.0, 1e-45], np.float32)},
        {},
    ]
    digests = {state.sha256(one) for one in [base, *others]}
    assert len(digests) == 7


def test_the_digest_is_of_the_values_not_of_their_layout_in_memory():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert state.sha256({"a": values}) == state.sha256({"a": np.asfortranarray(values)})

"""What `tf.vectorized_map` learns: equal to one by one, quiet, and only for a while."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from src.engine import vectorization

SEEDS = tf.constant([[1, 2], [3, 4], [1, 2]], tf.int32)


def mapped(function, values, *, random=False):
    """`function` over the values, vectorised in a graph, and in what members took turns."""

    @tf.function(autograph=False)
    def run(values):
        return tf.vectorized_map(function, values)

    with vectorization.extended(random=random) as in_turns:
        traced = run.get_concrete_function(tf.TensorSpec(values.shape, values.dtype))
    return traced(values).numpy(), in_turns


def draw(seed):
    return tf.random.stateless_uniform([2, 3], seed)


def test_bitcast():
    values = tf.constant([[1.5, -0.0], [3.0, 4.0]])
    found, in_turns = mapped(lambda row: tf.bitcast(row, tf.int32), values)
    np.testing.assert_array_equal(found, values.numpy().view(np.int32))
    assert not in_turns


def test_a_bitcast_that_changes_the_size_takes_turns():
    values = tf.constant([[1.5, -0.0], [3.0, 4.0]])
    found, in_turns = mapped(lambda row: tf.bitcast(row, tf.uint8), values)
    np.testing.assert_array_equal(found, values.numpy().view(np.uint8).reshape(2, 2, 4))
    assert in_turns == {"Bitcast"}


@pytest.mark.parametrize("random", [False, True])
def test_random_numbers_are_those_of_one_by_one(random):
    found, in_turns = mapped(draw, SEEDS, random=random)
    np.testing.assert_array_equal(found, [draw(seed) for seed in SEEDS])
    assert in_turns == (set() if random else set(vectorization.RANDOM))


def test_other_types_of_random_numbers_take_turns():
    def half(seed):
        return tf.random.stateless_uniform([3], seed, dtype=tf.float16)

    found, in_turns = mapped(half, SEEDS, random=True)
    np.testing.assert_array_equal(found, [half(seed) for seed in SEEDS])
    assert in_turns == {"StatelessRandomUniformV2"}


@pytest.fixture
def heard():
    """What TensorFlow's logger lets through."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    tf.get_logger().addHandler(handler)
    yield messages
    tf.get_logger().removeHandler(handler)


def test_it_says_nothing_and_forgets_itself(heard):
    logger = tf.get_logger()
    before = logger.level, list(logger.filters), dict(vectorization._registry())
    mapped(draw, SEEDS)
    assert heard == []
    assert (logger.level, list(logger.filters), dict(vectorization._registry())) == before


def test_other_warnings_are_heard(heard):
    with vectorization.extended(random=False):
        tf.get_logger().warning("something else")
    assert heard == ["something else"]

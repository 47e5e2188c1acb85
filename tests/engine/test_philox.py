"""Random numbers on tensors: the published vectors, and TensorFlow's own kernels."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from src.engine import philox

SEEDS = st.integers(-(2**31), 2**31 - 1)


def words(*values):
    """Two 32-bit words, the lower one first, as uint64."""
    return tf.constant([values[0] | values[1] << 32], tf.uint64)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # kat_vectors of the authors' Random123, philox4x32 with 10 rounds
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ),
        (
            (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_published_vectors(counter, key, expected):
    found = philox._generate(words(*counter[:2]), words(*counter[2:]), words(*key))
    assert tuple(int(word[0]) for word in found) == expected


@pytest.fixture(scope="module", params=[False, True], ids=["graph", "xla"])
def drawn(request):
    """Numbers of several seeds at once, in a graph or compiled."""

    @tf.function(jit_compile=request.param)
    def draw(seeds):
        return philox.uniform(*philox.key_and_counter(seeds), 11)

    return draw


@settings(max_examples=30, deadline=None)
@given(seeds=st.tuples(SEEDS, SEEDS, SEEDS, SEEDS))
def test_the_numbers_are_those_of_tensorflow(drawn, seeds):
    pairs = tf.constant([seeds[:2], seeds[2:]], tf.int32)
    one_by_one = [tf.random.stateless_uniform([11], seed, alg="philox") for seed in pairs]
    np.testing.assert_array_equal(drawn(pairs), np.stack(one_by_one))


def test_the_counter_carries_over_64_bits():
    last = 2**64 - 1
    key = tf.constant([[5]], tf.uint64)
    counter = tf.constant([[last, 7]], tf.uint64)
    found = philox.uniform(key, counter, 8)
    expected = tf.raw_ops.StatelessRandomUniformV2(
        shape=[8], key=key[0], counter=counter[0], alg=1, dtype=tf.float32
    )
    np.testing.assert_array_equal(found[0], expected)

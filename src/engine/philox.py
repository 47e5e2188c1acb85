"""Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) on tensors.

TensorFlow's stateless random operations take one seed each. Written as arithmetic on tensors the
same generator takes a seed for each sweep member, and gives the bits that TensorFlow's own kernels
give for that seed (not those of XLA, which draws others).
"""

import tensorflow as tf

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the key after each round
SCRAMBLING_KEY = 0x02461E293EC8F720  # with which TensorFlow turns a seed into a key and a counter

Words = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def key_and_counter(seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Key `(..., 1)` and counter `(..., 2)`, uint64, that TensorFlow makes of seeds `(..., 2)`."""
    seeds = tf.cast(tf.cast(seeds, tf.int64), tf.uint64)
    words = _generate(seeds[..., 0], seeds[..., 1], tf.constant(SCRAMBLING_KEY, tf.uint64))
    key, high = _join(words[0], words[1]), _join(words[2], words[3])
    return tf.expand_dims(key, -1), tf.stack([tf.zeros_like(high), high], axis=-1)


def uniform(key: tf.Tensor, counter: tf.Tensor, size: int) -> tf.Tensor:
    """Numbers from 0 to below 1, `(..., size)` float32, for key `(..., 1)`, counter `(..., 2)`."""
    blocks = tf.range(-(-size // 4), dtype=tf.int64)
    low = counter[..., :1] + tf.cast(blocks, tf.uint64)
    carry = tf.cast(low < counter[..., :1], tf.uint64)
    words = _generate(low, counter[..., 1:] + carry, key)
    bits = tf.stack(words, axis=-1)  # (..., blocks, 4)
    bits = tf.reshape(bits, [*bits.shape[:-2], -1])[..., :size]
    one = tf.constant(0x3F800000, tf.uint32)  # the bits of 1.0; 23 random bits are its fraction
    fraction = tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32))
    return tf.bitcast(tf.bitwise.bitwise_or(fraction, one), tf.float32) - 1.0


def _generate(low: tf.Tensor, high: tf.Tensor, key: tf.Tensor) -> Words:
    """Four random words uint32 for each 128-bit counter, given as two uint64, under its key."""
    words = (*_split(low), *_split(high))
    keys = _split(key)
    for number in range(ROUNDS):
        if number:
            keys = tuple(k + tf.constant(w, tf.uint32) for k, w in zip(keys, WEYL, strict=True))
        low_0, high_0 = _split(_wide(words[0]) * tf.constant(MULTIPLIERS[0], tf.uint64))
        low_1, high_1 = _split(_wide(words[2]) * tf.constant(MULTIPLIERS[1], tf.uint64))
        words = (high_1 ^ words[1] ^ keys[0], low_1, high_0 ^ words[3] ^ keys[1], low_0)
    return words


def _split(value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The lower and the upper half of uint64."""
    return tf.cast(value, tf.uint32), tf.cast(
        tf.bitwise.right_shift(value, tf.constant(32, tf.uint64)), tf.uint32
    )


def _join(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_or(
        _wide(low), tf.bitwise.left_shift(_wide(high), tf.constant(32, tf.uint64))
    )


def _wide(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.uint64)

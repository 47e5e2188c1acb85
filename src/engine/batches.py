"""Going over updates, and over rows batch by batch, inside a traced program."""

from collections.abc import Callable

import tensorflow as tf

Values = list[tf.Tensor]


def over_batches(
    function: Callable[[Values, tf.Tensor, tf.Tensor], Values],
    values: Values,
    x: tf.Tensor,
    y: tf.Tensor,
    size: int,
) -> Values:
    """What becomes of `values` when `function` takes them through all rows, `size` at a time.

    The last batch may be smaller: it is traced once more.
    """
    full, last = divmod(x.shape[0], size)

    def body(batch: tf.Tensor, values: Values) -> tuple[tf.Tensor, Values]:
        rows = batch * size + tf.range(size)
        return batch + 1, function(values, tf.gather(x, rows), tf.gather(y, rows))

    _, values = tf.while_loop(lambda batch, _: batch < full, body, (tf.constant(0), values))
    return function(values, x[-last:], y[-last:]) if last else values


def over_updates(
    function: Callable[[tf.Tensor, Values], tuple[Values, tf.Tensor]],
    values: Values,
    count: tf.Tensor,
    length: int,
    shape: tuple[int, ...],
) -> tuple[Values, tf.Tensor]:
    """What becomes of `values` in the updates 0 to `count - 1`, and what each of them returned.

    Args:
        function: makes an update.
        values: before the first.
        count: a scalar; at most `length`.
        length: of the buffer for what updates return: XLA needs a fixed one.
        shape: of what an update returns, float32.

    Returns:
        The values, and `(length, *shape)` of which the first `count` are filled.
    """
    returned = tf.TensorArray(tf.float32, length, element_shape=shape)

    def body(
        update: tf.Tensor, values: Values, returned: tf.TensorArray
    ) -> tuple[tf.Tensor, Values, tf.TensorArray]:
        values, result = function(update, values)
        return update + 1, values, returned.write(update, result)

    # No maximum_iterations: XLA compiles anew for each.
    _, values, returned = tf.while_loop(
        lambda update, *_: update < count, body, (tf.constant(0), values, returned)
    )
    return values, returned.stack()

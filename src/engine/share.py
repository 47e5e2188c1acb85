"""What one device has of a batch, and what it gives to and takes from the others.

Used while an update is traced, inside `strategy.run`: once for each device of this process.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Between the seeds of two devices: 2^32 / golden ratio, odd, so that no two of them meet.
SEED_OFFSET = 2654435769


class Share:
    """What one device has of a batch, while its part of an update is traced.

    Args:
        device: its number.
        devices: how many there are.
        rows: of the whole batch.
        variables: the step's, by name.

    Attributes:
        slice: its rows; one row that counts nothing where there are fewer rows than devices.
        weight: its share of the rows, from 0 to 1.
        applied: whether the step's gradients were summed.
        is_applying: whether they are being applied.
        reports: what the step reported of this update, by name.
    """

    def __init__(
        self, device: int, devices: int, rows: int, variables: Mapping[str, keras.Variable]
    ) -> None:
        begin, end = (rows * number // devices for number in (device, device + 1))
        self.slice = slice(begin, end) if begin < end else slice(0, 1)
        self.weight = (end - begin) / rows
        self.applied = self.is_applying = False
        self.reports: dict[str, tf.Tensor] = {}
        self._counts = float(begin < end)
        self._collected = {
            name: variable
            for name, variable in variables.items()
            if not name.startswith("optimizer/")
            and not variable.trainable
            and tf.as_dtype(variable.value.dtype).is_floating
        }
        self._before = {
            name: tf.identity(variable.value) for name, variable in self._collected.items()
        }

    def moments(
        self, x: tf.Tensor, axes: Sequence[int], keepdims: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance over the whole batch of which `x` is this device's part.

        Keras' own add up what devices pass back to each other's rows as if all had as many rows.
        """
        shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        sums = [tf.reduce_sum(value, axes) for value in (x, tf.square(x))]
        count = float(np.prod([x.shape[axis] for axis in axes])) / self.weight
        mean, squares = tf.unstack(self._total(tf.stack(sums)) / tf.cast(count, x.dtype))
        moments = mean, tf.maximum(squares - tf.square(mean), 0)
        return tuple(tf.reshape(value, shape) for value in moments) if keepdims else moments

    def _total(self, values: tf.Tensor) -> tf.Tensor:
        """The sum over the devices.

        The gradient of the whole batch's loss is the sum of the devices' own, each times its
        weight. So what they pass back counts by theirs, and is divided by that of the device which
        gets it, whose gradient is yet to be multiplied by it.
        """

        @tf.custom_gradient
        def total(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return _sum([values])[0], passed_back

        @tf.custom_gradient
        def passed_back(gradient: tf.Tensor) -> tuple[tf.Tensor, Any]:
            weight = tf.cast(self.weight, gradient.dtype)
            return _sum([gradient * weight])[0] / weight, total

        return total(values)

    def sum_gradients(self, gradients: Sequence[Any]) -> list[Any]:
        """Those of the whole batch, from this device's, which are of the mean over its rows."""
        self.applied = True
        dense = [
            None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients
        ]
        weighted = [g * tf.cast(self.weight, g.dtype) for g in dense if g is not None]
        summed = iter(_sum(weighted))
        return [None if gradient is None else next(summed) for gradient in dense]

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Within it, the gradients are those of the whole batch already."""
        self.is_applying = True
        yield
        self.is_applying = False

    def bring_together(self, recorded: tf.Tensor) -> tf.Tensor:
        """Give all devices the state after the update.

        Returns:
            The mean over the rows of the whole batch, of what was recorded: the loss and reports.
        """
        changes = []
        for name, variable in self._collected.items():
            change = variable.value - self._before[name]
            factor = self._counts if name.startswith("metrics/") else self.weight
            changes.append(change * tf.cast(factor, change.dtype))
        recorded, *changes = _sum([recorded * self.weight, *changes])
        for (name, variable), change in zip(self._collected.items(), changes, strict=True):
            variable.assign(self._before[name] + change)
        return recorded


def _sum(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The sum of each over all devices, in one message for each data type."""
    context = tf.distribute.get_replica_context()
    sums: list[tf.Tensor] = [None] * len(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        positions = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = tf.concat([tf.reshape(tensors[i], [-1]) for i in positions], 0)
        parts = tf.split(
            context.all_reduce(tf.distribute.ReduceOp.SUM, flat),
            [tensors[i].shape.num_elements() for i in positions],
        )
        for i, part in zip(positions, parts, strict=True):
            sums[i] = tf.reshape(part, tensors[i].shape)
    return sums


@contextlib.contextmanager
def share_of(rows: int, devices: int, variables: Mapping[str, keras.Variable]) -> Iterator[Share]:
    """The share that this device has of a batch of so many rows.

    Within it the seeds of random generators are the device's own; those saved are the same on all.
    """
    context = tf.distribute.get_replica_context()
    device = int(tf.get_static_value(context.replica_id_in_sync_group))
    seeds = [
        variable
        for name, variable in variables.items()
        if name.endswith("seed_generator_state") and device > 0
    ]
    offset = np.array([device * SEED_OFFSET, 0])
    for seed in seeds:
        seed.assign(seed.value + tf.cast(offset, seed.value.dtype))
    yield Share(device, devices, rows, variables)
    for seed in seeds:
        seed.assign(seed.value - tf.cast(offset, seed.value.dtype))

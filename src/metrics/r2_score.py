"""The coefficient of determination, R^2, in a form that float32 can hold."""

from typing import Any

import keras
from keras import ops


class R2Score(keras.metrics.Metric):
    """The share of the labels' variance that the predictions explain, the mean over the outputs.

        R^2 = 1 - sum (y - prediction)^2 / sum (y - mean(y))^2

    1 is perfect, 0 as good as the mean as a guess, and less is worse than that. Where all labels
    are equal it is 1 for perfect predictions, else 0, as in scikit-learn.

    Keras' metric of this name takes the denominator as sum(y^2) - sum(y)^2 / rows, of which float32
    leaves nothing when the labels' mean is much larger than their deviation (years, for example).
    Here batches are merged by their means and squared deviations (Chan et al. 1979).

    Args:
        outputs: how many values are predicted for a row.
    """

    def __init__(self, outputs: int, name: str = "r2_score", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.outputs = outputs

        def new(name: str, *shape: int) -> keras.Variable:
            return self.add_variable(shape=shape, initializer="zeros", name=name)

        self._count = new("count")
        self._mean, self._deviations = new("mean", outputs), new("squared_deviations", outputs)
        self._residuals = new("squared_residuals", outputs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch of labels and predictions, both (batch, outputs); each row weighs the same.

        Raises:
            ValueError: their shapes are others, or weights are given.
        """
        if sample_weight is not None:
            raise ValueError("r2_score takes no sample weights")
        y_true, y_pred = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        if not tuple(y_true.shape[1:]) == tuple(y_pred.shape[1:]) == (self.outputs,):
            raise ValueError(
                f"r2_score takes labels and predictions (rows, {self.outputs}), not "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}"
            )
        before = ops.convert_to_tensor(self._count)
        rows = ops.cast(ops.shape(y_true)[0], self.dtype)
        count = before + rows
        mean = ops.mean(y_true, axis=0)
        deviations = ops.sum(ops.square(y_true - mean), axis=0)
        apart = mean - self._mean
        self._deviations.assign(self._deviations + deviations + apart**2 * before * rows / count)
        self._mean.assign(self._mean + apart * rows / count)
        self._residuals.assign(self._residuals + ops.sum(ops.square(y_true - y_pred), axis=0))
        self._count.assign(count)

    def result(self) -> Any:
        """R^2, a scalar."""
        residuals = ops.convert_to_tensor(self._residuals)
        deviations = ops.convert_to_tensor(self._deviations)
        constant = deviations == 0
        explained = 1 - residuals / ops.where(constant, 1.0, deviations)
        perfect = ops.cast(residuals == 0, self.dtype)
        return ops.mean(ops.where(constant, perfect, explained))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "outputs": self.outputs}

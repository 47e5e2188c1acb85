"""The model as a SavedModel: it loads where this repository and Keras are absent.

It takes rows as the data source gives them and gives what `src.predict` gives: the run's scaling
comes first, and a model that gives logits is followed by its probabilities.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from src import crash_points
from src.data.normalise import IDENTITY, Scaling
from src.optimizers.wrapper import innermost

Activation = Literal["softmax", "sigmoid", "linear"]


def activation_of(loss: keras.losses.Loss) -> Activation:
    """What makes probabilities of the outputs that `loss` compares with labels."""
    loss = innermost(loss)
    if not getattr(loss, "from_logits", False):
        return "linear"
    binary = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
    return "sigmoid" if isinstance(loss, binary) else "softmax"


class Exported(tf.Module):
    """A model's predictions, `(batch, *input_shape)` to `(batch, classes)` float32."""

    def __init__(
        self,
        model: keras.Model,
        input_shape: tuple[int, ...],
        scaling: Scaling = IDENTITY,
        activation: Activation = "linear",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self._dtype = tf.as_dtype(dtype)
        self._variables = [
            variable.value for variable in model.variables
        ]  # found by SavedModel here
        specification = tf.TensorSpec([None, *input_shape], self._dtype, name="inputs")

        @tf.function(input_signature=[specification])
        def predict(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = model(scaled(inputs, scaling), training=False)
            return {"predictions": activated(outputs, activation)}

        self.predict = predict

    @tf.function
    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """The predictions `(batch, classes)` for inputs of any dtype."""
        return self.predict(tf.cast(inputs, self._dtype))["predictions"]


def save(
    model: keras.Model,
    input_shape: tuple[int, ...],
    folder: Path,
    scaling: Scaling = IDENTITY,
    activation: Activation = "linear",
    dtype: str = "float32",
) -> None:
    """Write the SavedModel with the signature `serving_default`; it appears whole.

    dtype: of the inputs.
    """
    exported = Exported(model, input_shape, scaling, activation, dtype)
    # Traced for any number of rows: a call on one row would fix it at one.
    exported.__call__.get_concrete_function(tf.TensorSpec([None, *input_shape], dtype))
    aside = folder.with_name(f".{folder.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed process
    tf.saved_model.save(exported, str(aside), signatures={"serving_default": exported.predict})
    crash_points.passing("model.exported")
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    crash_points.passing("model.renamed")


def scaled(x: Any, scaling: Scaling) -> Any:
    """Rows as `src.data.normalise.apply` scales them, to the bit: in float64, then float32."""
    if scaling is IDENTITY or (not scaling.offset.any() and (scaling.scale == 1).all()):
        return x
    x = keras.ops.subtract(keras.ops.cast(x, "float64"), scaling.offset)
    return keras.ops.cast(keras.ops.divide(x, scaling.scale), "float32")


def activated(outputs: Any, activation: Activation) -> Any:
    """Predictions, float32."""
    outputs = keras.ops.cast(outputs, "float32")
    functions: dict[str, Callable[[Any], Any]] = {
        "softmax": keras.ops.softmax,
        "sigmoid": keras.ops.sigmoid,
    }
    return functions[activation](outputs) if activation in functions else outputs

"""The model as a SavedModel: it loads where this repository and Keras are absent."""

import shutil
from pathlib import Path

import keras
import tensorflow as tf

from src import crash_points


class Exported(tf.Module):
    """A model's predictions, `(batch, *input_shape)` float32 to `(batch, classes)` float32."""

    def __init__(self, model: keras.Model, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self._variables = [
            variable.value for variable in model.variables
        ]  # found by SavedModel here
        specification = tf.TensorSpec([None, *input_shape], tf.float32, name="inputs")

        @tf.function(input_signature=[specification])
        def predict(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"predictions": tf.cast(model(inputs, training=False), tf.float32)}

        self.predict = predict

    @tf.function
    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """The predictions `(batch, classes)` for inputs of any dtype."""
        return self.predict(tf.cast(inputs, tf.float32))["predictions"]


def save(model: keras.Model, input_shape: tuple[int, ...], folder: Path) -> None:
    """Write the SavedModel with the signature `serving_default`; it appears whole."""
    exported = Exported(model, input_shape)
    # Traced for any number of rows: a call on one row would fix it at one.
    exported.__call__.get_concrete_function(tf.TensorSpec([None, *input_shape], tf.float32))
    aside = folder.with_name(f".{folder.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed process
    tf.saved_model.save(exported, str(aside), signatures={"serving_default": exported.predict})
    crash_points.passing("model.exported")
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    crash_points.passing("model.renamed")

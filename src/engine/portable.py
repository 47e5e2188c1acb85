"""The model as Keras' own layers: a .keras file of it loads where this repository is absent.

It takes and gives what the SavedModel of `src.engine.export` does.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from src.data.normalise import Scaling
from src.engine.export import Activation, Exported, activated, scaled

# Of predictions by Keras' own layers, against those of the model they were taken out of.
TOLERANCE = 1e-5


class NotKerasOwnError(Exception):
    """A model holds what only its own module could load again; the message says what."""


def of_keras_layers(
    model: keras.Model,
    input_shape: tuple[int, ...],
    scaling: Scaling,
    activation: Activation,
    dtype: str = "float32",
) -> keras.Model:
    """The model as a functional one of Keras' own layers, which it shares with `model`.

    Layers of other classes are taken apart: what their `call` does with Keras' layers and
    operations stands in their place.

    Raises:
        NotKerasOwnError: that can't be, or would predict something else.
    """
    inner = model._flatten_layers(include_self=False)
    for number, layer in enumerate(layer for layer in inner if _is_keras_own(layer)):
        layer.name = f"{layer.name}_{number}"  # one of a name is allowed
    inputs = keras.Input(input_shape, dtype=dtype, name="inputs")
    try:
        with _taken_apart(model):
            outputs = activated(model(scaled(inputs, scaling)), activation)
        made = keras.Model(inputs, outputs, name=model.name)
    except Exception as error:  # its call may do anything with a symbolic tensor
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotKerasOwnError(
            f"{type(model).__name__} can't be taken apart: {lines[0]}"
        ) from error
    foreign = [layer for layer in made._flatten_layers() if not _is_keras_own(layer)]
    if foreign:
        raise NotKerasOwnError(f"{type(foreign[0]).__name__} is no layer of Keras")
    lost = {id(v) for v in model.weights} - {id(v) for v in made.weights}
    if lost:
        names = [v.path for v in model.weights if id(v) in lost]
        raise NotKerasOwnError(f"the variable {names[0]} belongs to no layer of Keras")
    rows = (2 * np.random.default_rng(0).random((2, *input_shape))).astype(dtype)
    expected = Exported(model, input_shape, scaling, activation, dtype)(rows).numpy()
    if not np.allclose(made(rows), expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise NotKerasOwnError(f"{type(model).__name__} predicts otherwise when taken apart")
    return made


def _is_keras_own(layer: object) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


@contextlib.contextmanager
def _taken_apart(model: keras.Model) -> Iterator[None]:
    """Within it, a layer that isn't Keras' own is what its `call` computes, and no layer itself."""
    kinds = {type(layer) for layer in model._flatten_layers() if not _is_keras_own(layer)}
    before = {kind: kind.__dict__.get("__call__") for kind in kinds}
    for kind in kinds:
        kind.__call__ = lambda self, *inputs, **options: self.call(*inputs, **options)
    try:
        yield
    finally:
        for kind, own in before.items():
            if own is None:
                del kind.__call__
            else:
                kind.__call__ = own

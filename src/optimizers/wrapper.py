"""An optimizer around another one, with what training steps use of an optimizer."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

Gradients = Sequence[tf.Tensor | None]
Variables = Sequence[keras.Variable]


class Wrapper:
    """Adds something to the updates of `inner`; everything else is asked of `inner`.

    No Keras optimizer itself: that would bring an iteration and a learning rate of its own.

    Attributes:
        inner: a built Keras optimizer, or another wrapper.
        own: the variables that it adds to the state.
    """

    WRAPS = True  # for `innermost`

    def __init__(self, inner: Any, own: Variables) -> None:
        self.inner = inner
        self.own = list(own)

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the inner optimizer, whose place in the state never varies, then own."""
        return [*self.inner.variables, *self.own]

    def apply(self, gradients: Gradients, variables: Variables) -> None:
        """Update the variables once by their gradients."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """What is not defined here: `learning_rate`, `iterations`, `scale_loss`, ..."""
        if name == "inner":  # asked for before it is there, as when an object is copied
            raise AttributeError(name)
        return getattr(self.inner, name)


def innermost(part: Any) -> Any:
    """An optimizer or a loss as it was configured, inside what was put around it."""
    while getattr(type(part), "WRAPS", False):
        part = part.inner
    return part


def layers(optimizer: Any) -> Iterator[Any]:
    """A wrapped optimizer from the outside in: its wrappers, and the Keras optimizer at last."""
    yield optimizer
    while isinstance(optimizer, Wrapper):
        optimizer = optimizer.inner
        yield optimizer


@contextlib.contextmanager
def only_where(condition: tf.Tensor, variables: Variables) -> Iterator[None]:
    """What happens to the variables within it, holds where a scalar condition is true.

    Selects values in place of branching: sweep members that train together have no branches of
    their own, and XLA needs none.
    """
    before = [tf.identity(variable.value) for variable in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(tf.where(condition, variable.value, value))


def variable_like(variable: keras.Variable, value: tf.Tensor, kind: str) -> keras.Variable:
    """A variable that isn't trained, named after another one and what it is for."""
    name = f"{variable.path.replace('/', '_')}_{kind}"
    # A tensor: Keras would take a tf.Variable itself, not its value.
    return keras.Variable(tf.identity(value), dtype=variable.dtype, trainable=False, name=name)

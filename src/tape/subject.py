"""What is checked: a built step on one batch, its loss and gradients as functions of weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from src.build import build
from src.config import Config, EmaConfig
from src.data.balance import class_weights
from src.data.dataset import Dataset, Split
from src.engine import state
from src.errors import UserError
from src.groups import LossConfig, OptimizerConfig
from src.steps.step import Step
from src.tape import precision
from src.tape.constants import Constants
from src.tape.recorder import GradientRecorder
from src.tape.settings import Check

# What is done around an optimizer has no part in the gradients that it is given.
PLAIN = {"accumulate": 1, "ema": EmaConfig(decay=None), "precision": "float32"}


@dataclass(frozen=True)
class Subject:
    """A step and the batch it sees.

    Attributes:
        step: built, with a `GradientRecorder` for an optimizer.
        x: features `(rows, *input_shape)`.
        y: labels `(rows,)` or `(rows, classes)`.
        dtype: in which everything is computed.
        loss: the loss at the current weights. All other state (running means, metrics, seeds) is
            put back first, so that equal weights give equal losses: a dropout mask never changes.
            What the step takes for constants stays what it was at the last gradients.
        gradients: for each trainable variable its gradient, None where the loss was not connected
            with it; variables that the step leaves alone are missing.
        casts: operations of the loss that make a shorter number of a float64.
    """

    step: Step
    x: tf.Tensor
    y: tf.Tensor
    dtype: np.dtype
    loss: Callable[[], float]
    gradients: Callable[[], dict[str, np.ndarray | None]]
    casts: Callable[[], list[str]]

    @property
    def variables(self) -> dict[str, keras.Variable]:
        """The trainable variables by a name of their own."""
        return name_variables(self.step.model)


def prepare(config: Config, dataset: Dataset, check: Check) -> Subject:
    """Build the step over some rows of the training split, its weights at a generic point.

    Raises:
        UserError: naming the key, when a part can't be built or computes in another precision.
    """
    generator = np.random.default_rng(config.seed)
    rows = generator.permutation(dataset.train_rows)[: check.rows]
    batch = Split(
        _in_precision(dataset.train.x[rows], check.dtype),
        _in_precision(dataset.train.y[rows], check.dtype),
    )
    recorded = config.model_copy(
        update={"optimizer": _recorder(config), "loss": _weighted(config, dataset), **PLAIN}
    )
    with precision.explained(check.dtype):
        step = build(recorded, replace(dataset, train=batch), config.seed)
        precision.check(step.model, check.dtype)
        for variable in step.model.trainable_variables:
            noise = generator.standard_normal(tuple(variable.shape))
            variable.assign(variable.numpy() + check.spread * noise)
        subject = make(step, tf.constant(batch.x), tf.constant(batch.y), check.gradient)
        subject.gradients()  # traced here, where a complaint about the precision is explained
    return subject


def make(step: Step, x: tf.Tensor, y: tf.Tensor, gradient: Literal["step", "loss"]) -> Subject:
    """The loss and the gradients of a step on a batch, as compiled functions of its weights."""
    weights = {id(variable) for variable in step.model.trainable_variables}
    others = [
        (variable, tf.identity(variable.value))
        for variable in state.variables(step).values()
        if id(variable) not in weights
    ]
    compute = _of_step if gradient == "step" else _of_loss
    constants = Constants(step)

    @tf.function
    def loss() -> tf.Tensor:
        for variable, value in others:
            variable.assign(value)
        constants.begin(replay=True)
        return compute(step, x, y, constants)[0]

    @tf.function
    def gradients() -> tuple[dict[str, tf.Tensor | None], list[Any]]:
        for variable, value in others:
            variable.assign(value)
        constants.begin(replay=False)
        return compute(step, x, y, constants)[1], constants.held

    def as_arrays() -> dict[str, np.ndarray | None]:
        found, held = gradients()
        constants.keep(held)
        if gradient == "step":
            _check_calls(len(step.optimizer.calls))
        return {name: None if value is None else value.numpy() for name, value in found.items()}

    def as_number() -> float:
        if not constants.kept:
            as_arrays()
        return float(loss())

    return Subject(
        step,
        x,
        y,
        dtype=np.dtype(x.dtype.as_numpy_dtype),
        loss=as_number,
        gradients=as_arrays,
        casts=lambda: precision.casts(loss.get_concrete_function()),
    )


def name_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """The trainable variables by their path, with a number where two layers share a name."""
    named: dict[str, keras.Variable] = {}
    for variable in model.trainable_variables:
        name, number = variable.path, 1
        while name in named:
            number += 1
            name = f"{variable.path} ({number})"
        named[name] = variable
    return named


def _of_step(
    step: Step, x: tf.Tensor, y: tf.Tensor, constants: Constants
) -> tuple[tf.Tensor, dict[str, Any]]:
    """The loss that the step names or returns, and the gradients that it hands to its optimizer."""
    recorder = step.optimizer
    assert isinstance(recorder, GradientRecorder)
    recorder.calls.clear()
    loss = step.train(x, y)
    if constants.loss is not None:
        loss = constants.loss
    names = _names_by_identity(step.model)
    return loss, {
        names[id(variable)]: None if gradient is None else tf.convert_to_tensor(gradient)
        for call in recorder.calls
        for variable, gradient in call
    }


def _check_calls(calls: int) -> None:
    if calls != 1:
        raise UserError(
            f"step: it calls its optimizer {calls} times in an update, and only a single call can "
            "be held against the loss; use check.gradient=loss"
        )


def _of_loss(
    step: Step, x: tf.Tensor, y: tf.Tensor, _: Constants
) -> tuple[tf.Tensor, dict[str, Any]]:
    """The loss as in training, without the step, and the tape's gradients of it."""
    variables = name_variables(step.model)
    with tf.GradientTape() as tape:
        predictions = step.model(x, training=True)  # (batch, classes)
        loss = step.loss(y, predictions) + sum(step.model.losses)
    found = tape.gradient(loss, [variable.value for variable in variables.values()])
    return loss, {
        name: None if gradient is None else tf.convert_to_tensor(gradient)
        for name, gradient in zip(variables, found, strict=True)
    }


def _names_by_identity(model: keras.Model) -> dict[int, str]:
    """Names of Keras variables, which a step may also hand over as TensorFlow's."""
    named = name_variables(model).items()
    return {id(v): name for name, v in named} | {id(v.value): name for name, v in named}


def _in_precision(values: np.ndarray, dtype: str) -> np.ndarray:
    """Class numbers and tokens stay integers."""
    return values if np.issubdtype(values.dtype, np.integer) else values.astype(dtype)


def _weighted(config: Config, dataset: Dataset) -> LossConfig:
    """The loss, the weights of its classes as all training rows have them, not the rows checked."""
    wanted = config.loss.class_weights
    weights = None if wanted is None else class_weights(wanted, dataset)
    return config.loss.model_copy(update={"class_weights": weights})


def _recorder(config: Config) -> OptimizerConfig:
    target = f"{GradientRecorder.__module__}.{GradientRecorder.__qualname__}"
    return OptimizerConfig(target=target, learning_rate=config.optimizer.learning_rate)

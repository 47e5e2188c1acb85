"""The state of a run: every variable that training changes, under names that never vary."""

import hashlib
from collections.abc import Mapping

import keras
import numpy as np

from src.optimizers import averaging
from src.steps.step import Step

State = dict[str, np.ndarray]


def variables(step: Step) -> dict[str, keras.Variable]:
    """The variables of `step` by name, such as `model/000/mlp/hidden_0/kernel`.

    The position in the name keeps two layers of one name apart.
    """
    return {
        f"{owner}/{position:03d}/{variable.path}": variable
        for owner, owned in step.state.items()
        for position, variable in enumerate(owned)
    }


def snapshot(step: Step, owner: str = "") -> State:
    """A copy of the values, of those whose name starts with `owner`."""
    return {
        name: np.array(variable.numpy())  # a copy: the device's buffer is written to again
        for name, variable in variables(step).items()
        if name.startswith(owner)
    }


def averages(step: Step) -> dict[str, str]:
    """The name of each weight that has a moving average, and the name of that."""
    names = {id(variable): name for name, variable in variables(step).items()}
    pairs = averaging.pairs(step.optimizer)
    return {names[id(weight)]: names[id(average)] for weight, average in pairs}


def with_averages(step: Step, state: Mapping[str, np.ndarray]) -> State:
    """`state`, in which weights that come without moving averages are their own averages."""
    found = averages(step)
    if any(average in state for average in found.values()):
        return dict(state)
    missing = {average: state[weight] for weight, average in found.items() if weight in state}
    return {**state, **missing}


def restore(step: Step, state: Mapping[str, np.ndarray]) -> None:
    """Give the variables named in `state` their values; see `with_averages`.

    Raises:
        ValueError: when a name or a shape does not belong to this step.
    """
    own = variables(step)
    state = with_averages(step, state)
    for name, value in state.items():
        if name not in own:
            raise ValueError(f"it holds {name}, which this model and optimizer don't have")
        if tuple(own[name].shape) != value.shape:
            raise ValueError(
                f"its {name} has shape {value.shape}, this model's is {tuple(own[name].shape)}"
            )
    for name, value in state.items():
        own[name].assign(value)


def sha256(state: Mapping[str, np.ndarray]) -> str:
    """The digest over (name, dtype, shape, bytes) of each value in order of name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = np.asarray(state[name], order="C")
        digest.update(f"{name}|{value.dtype.str}|{value.shape}|".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()

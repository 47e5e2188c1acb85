"""Attributes of a run's parts that a fused program holds as tensors, so that members may differ.

The learning rate is a variable in Keras and needs nothing of this. Weight decay is an attribute of
every Keras optimizer. A loss, a model or a step declares its own, by a class attribute:

    class Smoothed(keras.losses.Loss):
        TENSOR_ATTRIBUTES = ("label_smoothing",)

says that `self.label_smoothing`, the argument of that name, may be a scalar float32 tensor wherever
the class reads it: in arithmetic, never in a Python condition. Momentum and the betas of Adam are
not among them: 1 - 0.999 in float32 is off by 5e-5, and so were a member from its solo run.
"""

from collections.abc import Sequence

import numpy as np

from src.config import Config, flatten
from src.errors import UserError
from src.groups import Group
from src.identity import FREE, TENSORS
from src.targets import bind, call, locate

PARTS = ("optimizer", "loss", "model", "step")
# What models and steps are given by `src.build`, not by the configuration.
OFFERED = (
    "input_shape",
    "num_classes",
    "classes",
    "vocabulary",
    "each_position",
    "model",
    "optimizer",
    "loss",
    "metrics",
    "dataset",
    "load_teacher",
)
WEIGHT_DECAY = "optimizer.weight_decay"


def differing_keys(configs: Sequence[Config]) -> list[str]:
    """The keys in which configurations differ, without those that a program leaves open anyway."""
    flat = [dict(flatten(config.model_dump(by_alias=True))) for config in configs]
    return sorted(
        key
        for key in {key for values in flat for key in values}
        if not key.startswith((*FREE, *TENSORS))
        and any(values.get(key) != flat[0].get(key) for values in flat)
    )


def tensor_keys(config: Config, among: Sequence[str]) -> tuple[str, ...]:
    """The keys that name such attributes, of those `among` which jobs differ at all.

    Imports the modules of the parts concerned, and with them TensorFlow.
    """
    found = []
    for part in PARTS:
        group: Group = getattr(config, part)
        wanted = [key for key in among if key.startswith(f"{part}.")]
        declared = _declared(group, part) if set(wanted) - {WEIGHT_DECAY} else ()
        for key in wanted:
            name = key.partition(".")[2]
            if name in group.arguments and (key == WEIGHT_DECAY or name in declared):
                found.append(key)
    return tuple(key for key in found if _value(config, key) is not None)


def tensor_values(configs: Sequence[Config], keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The values of each key, `(members,)` float32."""
    return {key: np.array([_value(config, key) for config in configs], np.float32) for key in keys}


def check(config: Config) -> None:
    """See that the values suit their parts, as building the parts on their own does.

    Raises:
        UserError: naming the key that is wrong.
    """
    for part in PARTS:
        group: Group = getattr(config, part)
        target = locate(group.target, f"{part}._target_")
        if part in ("optimizer", "loss"):
            call(target, group.arguments, key=part)
        else:
            bind(target, group.arguments, key=part, offered=dict.fromkeys(OFFERED))


def _declared(group: Group, part: str) -> tuple[str, ...]:
    try:
        return tuple(getattr(locate(group.target, f"{part}._target_"), "TENSOR_ATTRIBUTES", ()))
    except UserError:  # building it says so again
        return ()


def _value(config: Config, key: str) -> float | None:
    """The value as a number; None where it is none, so that a tensor can't stand for it."""
    part, _, name = key.partition(".")
    value = getattr(config, part).arguments[name]
    if value is None and key == WEIGHT_DECAY:
        return 0.0  # the same update: weights - 0 * weights
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

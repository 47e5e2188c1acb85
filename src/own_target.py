"""A `_target_` of the user's own in the place of a choice in conf/.

    python -m src.train model._target_=my_models.Net

composes `model=mlp` with another `_target_`, so the keys of the network that was replaced are still
there. Those that the new target doesn't take, and that have the value of their yaml, fall away.
"""

import inspect
from collections.abc import Callable
from typing import Any

import yaml

from src.arguments import CONFIGURATION
from src.groups import Group


def arguments(group: str, config: Group, target: Callable[..., Any]) -> dict[str, Any]:
    """The configured arguments of `target`, those of the choice it replaces left out."""
    given = config.arguments
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return given
    foreign = given.keys() - {parameter.name for parameter in parameters}
    if not foreign:
        return given
    choices = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (CONFIGURATION / group).glob("*.yaml")
    ]
    if any(choice["_target_"] == config.target for choice in choices):
        return given  # a choice of ours: a key it doesn't take is a mistake
    left_over = {
        key for key in foreign for choice in choices if key in choice and choice[key] == given[key]
    }
    return {key: value for key, value in given.items() if key not in left_over}

"""The keys of conf/effects.yaml. Imports no TensorFlow."""

from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.errors import UserError
from src.targets import validation_message

Count = Annotated[int, Field(gt=0)]


class Measure(BaseModel):
    """What is measured and how finely; conf/effects.yaml describes each key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    bins: Count
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    attack_iterations: Count
    rows: Count
    power_iterations: Count


class Settings(BaseModel):
    """The whole of conf/effects.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
    kinds: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    keys: dict[str, dict[str, Any]]
    measure: Measure


def validate(composed: DictConfig) -> Settings:
    """Check the composed conf/effects.yaml.

    Raises:
        UserError: naming the first key that is wrong and what it may be.
    """
    try:
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        settings = Settings.model_validate(values)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    except ValidationError as error:
        raise UserError(validation_message(error)) from error
    if len(set(settings.seeds)) < len(settings.seeds):
        raise UserError(f"seeds={settings.seeds}: give each seed once")
    return settings

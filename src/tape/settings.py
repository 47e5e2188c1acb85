"""The keys of conf/gradients.yaml. Imports no TensorFlow."""

from typing import Annotated, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.errors import UserError
from src.groups import Positive
from src.targets import validation_message


class Check(BaseModel):
    """What is compared, where and in which precision; conf/gradients.yaml describes each key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    gradient: Literal["step", "loss"]
    rows: Annotated[int, Field(gt=0)]
    entries: Annotated[int, Field(gt=0)]
    spread: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    dtype: Literal["float64", "float32"]


class Settings(BaseModel):
    """The whole of conf/gradients.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    tolerance: Positive
    check: Check


def validate(composed: DictConfig) -> Settings:
    """Check the composed conf/gradients.yaml.

    Raises:
        UserError: naming the first key that is wrong and what it may be.
    """
    try:
        return Settings.model_validate(OmegaConf.to_container(composed, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    except ValidationError as error:
        raise UserError(validation_message(error)) from error

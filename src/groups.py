"""The schema of the groups that name what to call: data, optimizer, step, loss, and any other."""

import math
import re
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Arguments of every Keras optimizer that other keys replace.
REPLACED = {
    "use_ema": "ema.decay",
    "gradient_accumulation_steps": "accumulate",
    "loss_scale_factor": "precision=mixed_float16",
}
# Arguments of every Keras optimizer, of which one may be set.
CLIPPING = ("clipvalue", "clipnorm", "global_clipnorm")
NUMBERS = ("weight_decay", *CLIPPING)


def check_pattern(key: str, pattern: str | None) -> None:
    """Raise ValueError, naming the key, for what is no regular expression."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"{key}={pattern}: it is no regular expression: {error}") from error


class Group(BaseModel):
    """A configuration group: what to call and with which arguments.

    Keys that are not declared are arguments of `_target_`; `src.targets` checks them against its
    signature.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True, strict=True)
    target: str = Field(alias="_target_")

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `_target_` among the keys."""
        return dict(self.model_extra or {})


class DataConfig(Group):
    """A data source and how its rows are split, scaled and batched."""

    batch_size: Annotated[int, Field(gt=0)]
    evaluation_batch_size: Annotated[int, Field(gt=0)]
    max_rows: Annotated[int, Field(gt=0)] | None
    seed: Annotated[int, Field(ge=0)]
    validation_fraction: Fraction
    test_fraction: Fraction
    normalisation: Literal["none", "range", "standard"]
    labels: Literal["integer", "one_hot", "as_is"]


class OptimizerConfig(Group):
    """A Keras optimizer. `learning_rate` is the base that the schedule multiplies."""

    learning_rate: Positive

    @model_validator(mode="after")
    def _numbers_where_keras_defaults_to_none(self) -> "OptimizerConfig":
        # Their default, None, tells src.targets nothing of their type.
        given = self.model_extra or {}
        for key, instead in REPLACED.items():
            if given.get(key):
                raise ValueError(f"{key}={given[key]}: give {instead} in its place")
        for key in NUMBERS:
            value = given.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{key}={value}: input should be a number or null")
            if not 0 <= value <= sys.float_info.max:
                raise ValueError(f"{key}={value}: input should be finite and not negative")
            if value == 0 and key in CLIPPING:  # Keras would not clip at all
                raise ValueError(f"{key}={value}: input should be greater than 0, or null")
        clipping = [key for key in CLIPPING if given.get(key) is not None]
        if len(clipping) > 1:
            raise ValueError(f"{clipping[1]}={given[clipping[1]]}: {clipping[0]} is set; use one")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the optimizer, the base learning rate among them."""
        given = {
            key: float(value) if key in NUMBERS and value is not None else value
            for key, value in super().arguments.items()
            if value is not None or key not in CLIPPING  # which an own optimizer may not know
        }
        return {"learning_rate": self.learning_rate, **given}


class StepConfig(Group):
    """A kind of step, and what every kind of step can do."""

    train_only: Annotated[str, Field(min_length=1)] | None
    log_gradients: bool

    @model_validator(mode="after")
    def _patterns_are_regular_expressions(self) -> "StepConfig":
        check_pattern("train_only", self.train_only)
        return self


class LossConfig(Group):
    """A loss. What Keras' own losses don't check of their arguments is checked here."""

    class_weights: Literal["balanced"] | list[float] | None

    @model_validator(mode="after")
    def _weights_are_weights(self) -> "LossConfig":
        given = self.class_weights
        if isinstance(given, list) and not all(0 <= each < math.inf for each in given):
            raise ValueError(f"class_weights={given}: each should be finite and not negative")
        if isinstance(given, list) and not any(given):
            raise ValueError(f"class_weights={given}: one at least should be greater than 0")
        return self

    @model_validator(mode="after")
    def _smoothing_is_a_share(self) -> "LossConfig":
        value = (self.model_extra or {}).get("label_smoothing")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self  # of another type: src.targets says what it takes
        if value >= 1:
            raise ValueError(f"label_smoothing={value}: input should be less than 1")
        if value < 0:
            raise ValueError(f"label_smoothing={value}: input should be 0 or more")
        return self

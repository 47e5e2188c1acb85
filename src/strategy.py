"""The keys of `strategy`, and what several devices can't do."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from src.errors import UserError

if TYPE_CHECKING:
    from src.config import Config


class StrategyConfig(BaseModel):
    """The devices that share each batch."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    kind: Literal["none", "mirrored", "multiworker"]
    devices: Annotated[int, Field(ge=1, le=1024)]
    wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    timeout_seconds: Annotated[float, Field(ge=2, allow_inf_nan=False)]


# What was trained on several devices is looked at on one.
ONE_DEVICE = StrategyConfig(kind="none", devices=1, wait_seconds=0.0, timeout_seconds=60.0)


def check(config: "Config") -> None:
    """Whether the rest of the configuration works on so many devices.

    Raises:
        UserError: naming the key that doesn't.
    """
    kind, devices = config.strategy.kind, config.strategy.devices
    if kind == "none":
        if devices > 1:
            raise UserError(
                f"strategy.devices={devices}: several devices need strategy=mirrored or multiworker"
            )
        return
    if devices < 2:
        raise UserError(f"strategy.devices={devices}: for one device use strategy=none")
    if config.jit is True:
        raise UserError(
            f"jit=true: XLA can't compile a program over several devices; leave it out with "
            f"strategy={kind}, or use strategy=none"
        )
    if config.eager:
        raise UserError(
            f"eager=true: it runs on one device; leave it out with strategy={kind}, or use "
            "strategy=none"
        )
    if config.data.batch_size < devices:
        raise UserError(
            f"data.batch_size={config.data.batch_size}: each of strategy.devices={devices} needs a "
            "row of it; give a larger batch or fewer devices"
        )
    reduction = config.loss.arguments.get("reduction")
    if reduction in ("sum", "none"):
        raise UserError(
            f"loss.reduction={reduction}: strategy={kind} weights each device's mean by its rows; "
            "use loss.reduction=sum_over_batch_size"
        )


def check_sweep(config: "Config") -> None:
    """Whether a sweep can have its jobs on these devices.

    Raises:
        UserError: the workers of one job can't know of the next.
    """
    if config.strategy.kind == "multiworker":
        raise UserError(
            "strategy=multiworker: a multirun (-m) has no workers; run its jobs one by one, or use "
            "strategy=mirrored"
        )

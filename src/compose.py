"""Composing conf/ for the entries that Hydra doesn't start itself."""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.errors import UserError

CONFIGURATION = Path(__file__).resolve().parents[1] / "conf"
# Where a message of Hydra's goes on with what helps nobody at the command line.
HYDRAS_DETAILS = ("Config search path", "Key '", "See https", "Set the environment", "full_key")


def compose(name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration `name` of conf/ with these overrides.

    Raises:
        UserError: in Hydra's words, when an override can't be applied.
    """
    try:
        if GlobalHydra.instance().is_initialized():
            return hydra_compose(name, overrides=list(overrides))
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            return hydra_compose(name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        end = next((n for n, line in enumerate(lines) if line.startswith(HYDRAS_DETAILS)), None)
        raise UserError(" ".join(line for line in lines[:end] if line)) from error

"""What a command's overrides mean, without running the command."""

import sys
from collections.abc import Sequence

from src.benchmarks.commands import ROOT

if str(ROOT / "src") not in sys.path:  # where Hydra looks for hydra_plugins, as in src.train
    sys.path.append(str(ROOT / "src"))

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from src.config import Config, validate


def composed(overrides: Sequence[str]) -> Config:
    """The checked configuration of `python -m src.train` with these overrides."""
    return validate(_compose(overrides))


def fused_launcher() -> bool:
    """Whether there is a `hydra/launcher=fused` to choose."""
    try:
        _compose(["hydra/launcher=fused"], hydra_too=True)
    except Exception:  # whatever keeps it from being chosen
        return False
    return True


def _compose(overrides: Sequence[str], *, hydra_too: bool = False) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=hydra_too)

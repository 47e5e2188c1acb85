"""Recorded runs, built again with their weights."""

import keras

from src import initialisation, programs
from src.config import Config
from src.data.dataset import Dataset
from src.data.inputs import Inputs
from src.engine.program import Program
from src.errors import UserError
from src.recorded import Recorded, Weights
from src.strategy import ONE_DEVICE


def program(run: Recorded, config: Config, dataset: Dataset, which: str) -> tuple[Program, Weights]:
    """The run's program with the weights of its checkpoint `best` or `last`.

    Raises:
        UserError: the checkpoint is missing, damaged or of another model.
    """
    weights = run.weights(which)
    # Nothing is trained, so XLA would compile for nothing; evaluations are graphs anyway.
    changed = {"jit": False, "strategy": ONE_DEVICE, **initialisation.FORGOTTEN}
    made = programs.compiled([config.model_copy(update=changed)], dataset)
    try:
        owner = "" if which == "last" else "model/"
        if missing := made.snapshot(0, owner).keys() - weights.state.keys():
            raise ValueError(f"it lacks {min(missing)}")
        made.restore(weights.state)
    except ValueError as error:
        raise UserError(
            f"run={run.record.id}: its checkpoint is of another model than "
            f"{run.folder}/config.yaml builds: {error}"
        ) from error
    return made, weights


def model(run: Recorded, inputs: Inputs, which: str) -> tuple[keras.Model, Program, Weights]:
    """The run's model with its weights, without the data it was trained on.

    Raises:
        UserError: as `program` does.
    """
    made, weights = program(run, run.config, inputs.stand_in(), which)
    return made.model(), made, weights

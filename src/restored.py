"""Recorded runs, built again with their weights."""

import keras
import numpy as np

from src import initialisation, programs
from src.config import Config
from src.data.dataset import Dataset, Split
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
    made, weights = program(run, run.config, _stand_in(inputs), which)
    return made.model(), made, weights


def _stand_in(inputs: Inputs) -> Dataset:
    """Rows of zeros, one for each class, in the place of a run's data."""
    count = inputs.num_classes
    y: np.ndarray
    if inputs.labels == "integer":
        y = np.arange(count, dtype=np.int32)
    elif inputs.labels == "real":
        y = np.zeros((1, count), np.float32)
    else:
        y = np.eye(count, dtype=np.float32)
    y = np.resize(y, (len(y), *inputs.positions)) if inputs.positions else y
    split = Split(np.zeros((len(y), *inputs.input_shape), inputs.dtype), y)
    return Dataset(
        name="the recorded run's data",
        train=split,
        val=split,
        test=None,
        num_classes=count,
        labels=inputs.labels,
        class_names=inputs.class_names,
        source="stand-in",
        digest="",
        scaling=inputs.scaling,
        vocabulary=inputs.vocabulary,
    )

"""From the `data` node of the configuration to the data set."""

from collections.abc import Mapping
from typing import Any

from src.data.dataset import Dataset
from src.data.inputs import Inputs
from src.data.limit import few_rows
from src.data.prepare import prepare
from src.data.source import Source
from src.errors import UserError
from src.targets import call, locate

FRACTIONS = ("validation_fraction", "test_fraction")
PREPARATION = (*FRACTIONS, "normalisation", "labels")
NOT_THE_SOURCES = (
    "_target_",
    "batch_size",
    "evaluation_batch_size",
    "max_rows",
    "seed",
    *PREPARATION,
)
SEEDS = 2**64  # half the random generator's key; the other half numbers the streams


def load(
    config: Mapping[str, Any], seed: int, inputs: Inputs | None = None, room: int | None = None
) -> Dataset:
    """Call the source that `_target_` names and prepare what it returns.

    Args:
        config: the whole `data` node; keys that no part of the harness reads go to the source.
        seed: of the split, and of sources that draw random values.
        room: free memory in bytes, where rows may be streamed for the want of it.
        inputs: of a run that is scored on this data: its scaling, the classes it knows.

    Raises:
        UserError: naming the key, the file or the array that is wrong.
    """
    if not 0 <= seed < SEEDS:
        raise UserError(f"data.seed={seed}: allowed are whole numbers from 0 to below 2**64")
    function = locate(config["_target_"], "data._target_")
    arguments = {key: value for key, value in config.items() if key not in NOT_THE_SOURCES}
    # For sources that draw values, know better how to split, can leave rows in a file, or demand of
    # training what scoring does not need.
    offered = {"seed": seed, "room": room, "scored": inputs is not None}
    offered |= {key: config[key] for key in FRACTIONS}
    try:
        source = call(function, arguments, key="data", offered=offered)
        if not isinstance(source, Source):
            raise UserError(
                f"data._target_={config['_target_']}: it returned {type(source).__name__}; a data "
                "source is a function that returns a src.data.source.Source"
            )
        preparation = {key: config[key] for key in PREPARATION}
        dataset = prepare(source, seed=seed, inputs=inputs, room=room, **preparation)
        return few_rows(dataset, config.get("max_rows"))
    except OSError as error:
        raise UserError(f"data: {error}") from error
    except MemoryError as error:
        raise UserError(f"data: it doesn't fit into memory ({error}); use fewer rows") from error

"""What of a configuration decides a run, and what of it decides the compiled program."""

import hashlib
import json

from src.config import Config, flatten

# Keys that say how a run is recorded or how it is named, not what it computes.
# Where weights come from decides nothing: their digest does.
FREE = (
    "resume",
    "outputs",
    "name",
    "data.streaming",
    "data.cache",
    "log_every",
    "profile_calls",
    "objective",
    "tracking.",
    "checkpoint.",
    "strategy.wait_seconds",
    "strategy.timeout_seconds",
    "init_from",
)
# Keys whose values the program holds as tensors, or that only the loop follows, for each of its
# runs: runs that differ in them alone may share a program.
TENSORS = (
    "seed",
    "init_digest",
    "init_skip",
    "optimizer.learning_rate",
    "schedule.",
    "early_stopping.",
    "plateau.",
)


def fingerprint(config: Config, without: tuple[str, ...] = ()) -> str:
    """A digest of all that decides what a run computes, the keys below `without` left out."""
    values = flatten(config.model_dump(by_alias=True))
    kept = {key: value for key, value in values if not key.startswith((*FREE, *without))}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def program_key(config: Config) -> str:
    """A digest of all that decides the compiled program."""
    return fingerprint(config, without=TENSORS)

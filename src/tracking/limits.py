"""MLflow's limits on keys and values, kept without losing anything.

A key with characters MLflow refuses is written with "_" in their place; a value that is too long is
cut and says where the whole stands. Whatever had to change is returned, to be stored as a file
beside the run's artifacts: {original key: {"logged_as": key, "value": whole value}}.
"""

import hashlib
import posixpath
import re
from collections.abc import Iterable
from typing import Any

MAX_KEY = 250
MAX_PARAM_VALUE = 6000
MAX_TAG_VALUE = 8000
MAX_BATCH_TEXTS = 100  # params, and as many tags
MAX_BATCH_METRICS = 1000  # params and tags included
MAX_REQUEST = 800_000  # bytes of JSON; 1,000,000 are refused
MAX_DIGEST = 36

PARAMS_FILE = "params_full.json"
TAGS_FILE = "tags_full.json"

_REFUSED = re.compile(r"[^/\w.\- :]")

Changed = dict[str, dict[str, Any]]


def key(name: str) -> str:
    """`name` where MLflow takes it, otherwise the nearest key that it takes."""
    result = _REFUSED.sub("_", name)
    # Names that MLflow could take for a path's detour: "", "a//b", "./a", "../a", "/a".
    detour = posixpath.normpath(result) != result or result.startswith(("..", "/"))
    if not result or detour or result == ".":
        result = f"_{result.replace('/', '_')}"
    if len(result) > MAX_KEY:
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        result = f"{result[: MAX_KEY - 9].rstrip('/')}_{mark}"
    return result


def metric_key(name: str) -> str:
    """As `key`, but two names that differ keep apart: their values would be taken for one curve."""
    short = key(name)
    if short == name:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{short[: MAX_KEY - 9].rstrip('/')}_{mark}"


def fit(
    values: dict[str, Any], max_value: int, file_name: str, taken: Iterable[str] = ()
) -> tuple[dict[str, str], Changed]:
    """Keys and values as MLflow takes them, and what had to change.

    file_name: the artifact that will hold the whole values. taken: keys in use already.
    """
    fitted: dict[str, str] = {}
    changed: Changed = {}
    used = set(taken)
    for name, value in values.items():
        text = str(value)
        short = key(name)
        if short in used or (short != name and short in values):
            mark = hashlib.sha256(name.encode()).hexdigest()[:8]
            short = f"{short[: MAX_KEY - 9]}_{mark}"
        used.add(short)
        if short != name or len(text) > max_value:
            changed[name] = {"logged_as": short, "value": value}
        if len(text) > max_value:
            hint = f"... [{len(text)} characters, whole in the artifact {file_name}]"
            text = text[: max_value - len(hint)] + hint
        fitted[short] = text
    return fitted, changed

"""How much of a run's journal the tracking store has not confirmed yet."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from src.tracking import journal

FILE_NAME = "delivery.json"
_NONE = type(None)  # a key that is not there
_KINDS: dict[str, tuple[type, ...]] = {
    "run_id": (str, _NONE),
    "experiment_id": (str, _NONE),
    "tracking_uri": (str, _NONE),
    "cursor": (int, _NONE),
    "part": (int, _NONE),
    "seq": (int, _NONE),
    "status": (str, _NONE),
    "run_status": (str, _NONE),
    "error": (str, _NONE),
}


def load_delivery(folder: Path) -> dict[str, Any]:
    """The content of delivery.json; {} when nothing was delivered yet, or the file is damaged.

    It is only a memory of how far the delivery got: without it all is sent again, to no harm.
    """
    try:
        content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    fits = all(isinstance(content.get(key), kinds) for key, kinds in _KINDS.items())
    return content if fits and (content.get("cursor") or 0) >= 0 else {}


def outstanding(folder: Path) -> dict[str, int]:
    """Counts of undelivered "lines", "metrics", "artifacts", "models"; zeros are left out."""
    counts: Counter[str] = Counter()
    cursor = load_delivery(folder).get("cursor") or 0
    try:
        for _, line in journal.read(folder / journal.FILE_NAME, cursor):
            counts["lines"] += 1
            if line["kind"] == "updates":
                counts["metrics"] += line["count"] * len(line["values"])
            elif line["kind"] == "metrics":
                counts["metrics"] += len(line["values"])
            elif line["kind"] in ("artifact", "model"):
                counts[line["kind"] + "s"] += 1
    except FileNotFoundError:
        pass
    except journal.JournalDamagedError:
        counts["damaged"] += 1
    return dict(counts)

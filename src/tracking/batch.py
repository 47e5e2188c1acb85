"""Journal lines gathered into one batch that the store takes at once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from src.tracking import journal, limits
from src.tracking.journal import Line


@dataclass
class Batch:
    """At most `largest` metrics (key, value, timestamp in ms, step), few params and tags."""

    KINDS: ClassVar = ("updates", "metrics", "tags", "params", "mismatch")

    largest: int = limits.MAX_BATCH_METRICS
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    changed_params: limits.Changed = field(default_factory=dict)
    changed_tags: limits.Changed = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Too little room for another whole line."""
        return len(self.metrics) >= 0.7 * self.largest or bool(self.params) or len(self.tags) >= 50

    def add(self, line: Line, part: int) -> int:
        """Add the values of `line` after the first `part`; 0, or how many of it are in by now."""
        kind, time = line["kind"], line["t"]
        if kind == "mismatch":
            return self._add_texts("tags", {"harness.not_deterministic": line["text"]}, 0)
        if kind in ("tags", "params"):
            return self._add_texts(kind, line[kind], part)
        values: list[tuple[str, float, int, int]] = []
        if kind == "metrics":
            step = line["step"]
            values = [
                (limits.metric_key(k), float(v), time, step) for k, v in line["values"].items()
            ]
        else:
            first = line["first"]
            for name, text in line["values"].items():
                key = limits.metric_key(name)
                array = journal.decode_array(text).tolist()
                values += [(key, v, time, first + i) for i, v in enumerate(array)]
        room = self.largest - len(self.metrics) - len(self.tags)
        self.metrics += values[part : part + room]
        return part + room if part + room < len(values) else 0

    def _add_texts(self, kind: str, texts: dict[str, str], part: int) -> int:
        """At most 50 tags or params of a line, with keys and lengths fitted."""
        chosen = dict(list(texts.items())[part : part + 50])
        if kind == "tags":
            fitted, changed = limits.fit(chosen, limits.MAX_TAG_VALUE, limits.TAGS_FILE)
            self.tags.update(fitted)
            self.changed_tags.update(changed)
        else:
            fitted, changed = limits.fit(chosen, limits.MAX_PARAM_VALUE, limits.PARAMS_FILE)
            self.params.update(fitted)
            self.changed_params.update(changed)
        return part + 50 if part + 50 < len(texts) else 0


def text_batches(params: dict[str, str], tags: dict[str, str]) -> Iterator[Batch]:
    """Batches within MLflow's limits on the number of texts and on the size of one request."""
    batch, size = Batch(), 0
    for kind, texts in (("params", params), ("tags", tags)):
        for key, text in texts.items():
            length = len(json.dumps(key)) + len(json.dumps(text)) + 30
            target: dict[str, str] = getattr(batch, kind)
            if len(target) == limits.MAX_BATCH_TEXTS or size + length > limits.MAX_REQUEST:
                yield batch
                batch, size = Batch(), 0
                target = getattr(batch, kind)
            target[key] = text
            size += length
    if batch.params or batch.tags:
        yield batch

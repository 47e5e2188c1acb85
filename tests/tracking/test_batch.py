"""Lines of a journal become batches that MLflow takes, and not a value is lost or doubled."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils import validation

from src.tracking import journal, limits
from src.tracking.batch import Batch, text_batches

NAMES = st.one_of(
    st.sampled_from(["a*b", "a?b", "a_b", "a b", "", ".", "..", "a//b", "/a", "ä", "x" * 300]),
    st.text("ab*?/.\n", max_size=5),
)


def lines(draw_counts, names):
    """Lines of epochs and updates with values that all differ."""
    made, value = [], 0.0
    for number, count in enumerate(draw_counts):
        if count % 2:
            values = {name: value + i for i, name in enumerate(names)}
            value += len(names)
            made.append({"kind": "metrics", "t": number, "step": number, "values": values})
        else:
            arrays = {}
            for name in names:
                arrays[name] = journal.encode_array(np.arange(value, value + count, dtype="<f4"))
                value += count
            line = {"kind": "updates", "t": number, "first": 1, "count": count, "values": arrays}
            made.append(line)
    return made, value


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    largest=st.integers(1, 50),
)
def test_every_value_is_in_exactly_one_batch_under_a_key_of_its_own(counts, names, largest):
    made, total = lines(counts, names)
    sent, keys = [], set()
    for line in made:
        part = 0
        while True:
            batch = Batch(largest=largest)
            part = batch.add(line, part)
            assert 0 < len(batch.metrics) <= largest
            for key, value, timestamp, step in batch.metrics:
                validation._validate_metric(key, value, timestamp, step)
                keys.add(key)
                sent.append(value)
            if not part:
                break
    assert sorted(sent) == list(range(int(total)))
    assert len(keys) == len(names)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    params=st.dictionaries(st.text("abc", max_size=3), st.integers(0, 6000), max_size=300),
    tags=st.dictionaries(st.text("abc", max_size=3), st.integers(0, 8000), max_size=300),
)
def test_texts_are_sent_whole_in_requests_that_mlflow_takes(params, tags):
    long_params = {f"p{key}": "ä" * length for key, length in params.items()}
    long_tags = {f"t{key}": '"' * length for key, length in tags.items()}
    found_params: dict[str, str] = {}
    found_tags: dict[str, str] = {}
    for batch in text_batches(long_params, long_tags):
        assert len(batch.params) <= limits.MAX_BATCH_TEXTS
        assert len(batch.tags) <= limits.MAX_BATCH_TEXTS
        assert len(batch.params) + len(batch.tags) <= limits.MAX_BATCH_METRICS
        request = json.dumps([batch.params, batch.tags])
        assert len(request) < validation.MAX_BATCH_LOG_REQUEST_SIZE
        assert not found_params.keys() & batch.params.keys()
        found_params |= batch.params
        found_tags |= batch.tags
    assert found_params == long_params
    assert found_tags == long_tags

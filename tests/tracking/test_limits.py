import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation

from src.tracking import limits

TEXT = st.text(max_size=300)


@pytest.mark.parametrize(
    "name", ["optimizer.learning_rate", "train/loss", "a b:c-d_e", "ä", "a" * 250, ".a"]
)
def test_keys_that_mlflow_takes_stay(name):
    assert limits.key(name) == name


@given(st.one_of(TEXT, st.text("./ab*\n", max_size=8)))
def test_every_key_becomes_one_that_mlflow_takes(name):
    validation._validate_param(limits.key(name), "v")
    validation._validate_metric(limits.key(name), 1.0, 0, 0)
    validation._validate_tag(limits.key(name), "v")


@given(st.dictionaries(st.text("ab*?/.", max_size=4), st.text(max_size=3), max_size=12))
def test_no_two_keys_become_one(values):
    fitted, changed = limits.fit(values, 6000, "file.json")
    assert len(fitted) == len(values)
    for name, value in values.items():
        logged = changed[name]["logged_as"] if name in changed else name
        assert fitted[logged] == value


def test_a_long_value_says_where_the_whole_is():
    long = "x" * 7000
    fitted, changed = limits.fit(
        {"k": long, "short": 1}, limits.MAX_PARAM_VALUE, "params_full.json"
    )
    assert len(fitted["k"]) == limits.MAX_PARAM_VALUE
    assert fitted["k"].endswith("[7000 characters, whole in the artifact params_full.json]")
    assert fitted["short"] == "1"
    assert changed == {"k": {"logged_as": "k", "value": long}}


def test_limits_are_those_of_the_installed_mlflow():
    assert limits.MAX_KEY == validation.MAX_ENTITY_KEY_LENGTH
    assert limits.MAX_PARAM_VALUE == validation.MAX_PARAM_VAL_LENGTH
    assert limits.MAX_TAG_VALUE == validation.MAX_TAG_VAL_LENGTH
    assert limits.MAX_BATCH_TEXTS == validation.MAX_PARAMS_TAGS_PER_BATCH
    assert limits.MAX_BATCH_METRICS == validation.MAX_METRICS_PER_BATCH
    assert limits.MAX_DIGEST == validation.MAX_DATASET_DIGEST_SIZE
    assert limits.MAX_REQUEST < validation.MAX_BATCH_LOG_REQUEST_SIZE

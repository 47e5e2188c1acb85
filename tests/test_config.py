"""The schema: what each key may be, the rules between keys, and that defaults stand in conf/."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pydantic import BaseModel

from src import config as schema
from src.config import Config, flatten, validate
from src.errors import UserError

# A value that is wrong, and words that its message has to hold: the key, and what is allowed.
WRONG_VALUES = [
    ("data.batch_size=0", ["data.batch_size=0", "greater than 0"]),
    ("data.batch_size=-3", ["data.batch_size=-3", "greater than 0"]),
    ("data.batch_size=2.5", ["data.batch_size=2.5", "integer"]),
    ("data.batch_size=many", ["data.batch_size=many", "integer"]),
    ("data.batch_size=null", ["data.batch_size=None", "integer"]),
    ("data.evaluation_batch_size=0", ["data.evaluation_batch_size=0", "greater than 0"]),
    ("data.validation_fraction=1", ["data.validation_fraction=1", "less than 1"]),
    ("data.test_fraction=-0.1", ["data.test_fraction=-0.1", "greater than or equal to 0"]),
    ("data.normalisation=zscore", ["data.normalisation=zscore", "'none', 'range' or 'standard'"]),
    ("data.labels=hot", ["data.labels=hot", "'integer', 'one_hot' or 'as_is'"]),
    ("data.seed=-1", ["data.seed=-1", "greater than or equal to 0"]),
    ("optimizer.learning_rate=-0.1", ["optimizer.learning_rate=-0.1", "greater than 0"]),
    ("optimizer.learning_rate=0", ["optimizer.learning_rate=0", "greater than 0"]),
    ("optimizer.learning_rate=nan", ["optimizer.learning_rate=nan", "finite"]),
    ("optimizer.learning_rate=inf", ["optimizer.learning_rate=inf", "finite"]),
    ("optimizer.learning_rate=fast", ["optimizer.learning_rate=fast", "number"]),
    ("seed=-1", ["seed=-1", "greater than or equal to 0"]),
    ("seed=2147483648", ["seed=2147483648", "less than 2147483648"]),
    ("seed=true", ["seed=True", "integer"]),
    ("epochs=0", ["epochs=0", "greater than 0"]),
    ("epochs='3'", ["epochs=3", "integer"]),
    ("metrics=accuracy", ["metrics=accuracy", "list"]),
    ("metrics=[1]", ["metrics.0=1", "string"]),
    ("log_every=-1", ["log_every=-1", "greater than or equal to 0"]),
    ("jit=maybe", ["jit=maybe: input should be 'auto' or a valid boolean"]),
    ("loss.class_weights=some", ["class_weights=some", "'balanced' or a valid list"]),
    ("eager=perhaps", ["eager=perhaps", "boolean"]),
    ("checkpoint.keep=0", ["checkpoint.keep=0", "greater than or equal to 1"]),
    ("checkpoint.every_seconds=0", ["checkpoint.every_seconds=0", "greater than 0"]),
    ("tracking.artifacts=some", ["tracking.artifacts=some", "'auto', 'full', 'light' or 'none'"]),
    ("tracking.wait_seconds=-1", ["tracking.wait_seconds=-1", "greater than or equal to 0"]),
    ("tracking.experiment=''", ["tracking.experiment=", "at least 1 character"]),
    ("outputs=''", ["outputs=", "at least 1 character"]),
    ("+unheard_of=1", ["unheard_of", "not permitted"]),
    ("+tracking.colour=red", ["tracking.colour", "not permitted"]),
    ("+checkpoint.colour=red", ["checkpoint.colour", "not permitted"]),
    ("data.batch_size=???", ["data.batch_size", "missing"]),
    ("name=${nowhere}", ["nowhere"]),
    ("~model", ["model", "required"]),
    # rules between keys
    ("monitor=val/recall", ["monitor=val/recall", "val/loss", "val/accuracy"]),
    ("monitor=test/loss", ["monitor=test/loss", "val/loss"]),
    ("objective=loss", ["objective=loss", "train/loss, val/loss"]),
    ("metrics=[accuracy,accuracy]", ["metrics=", "once"]),
    ("metrics=[loss]", ["metrics=", "always there"]),
    ("resume=true", ["resume=true", "auto", "run id"]),
    ("tracking.uri=mlflow.db", ["tracking.uri=mlflow.db", "sqlite:///FILE", "tracking=none"]),
]


@pytest.mark.parametrize(("override", "words"), WRONG_VALUES, ids=[o for o, _ in WRONG_VALUES])
def test_a_wrong_value_is_answered_in_one_line_that_names_the_key(configured, override, words):
    with pytest.raises(UserError) as raised:
        configured(override)
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_an_eager_run_is_not_compiled(configured):
    with pytest.raises(UserError, match=r"^jit=true: .*leave out jit=true or eager=true$"):
        configured("eager=true", "jit=true")
    assert configured("eager=true").jit == "auto"


@pytest.mark.parametrize(
    "override",
    ["resume=auto", "resume=false", "resume=20261123-101500-abc123", "resume=outputs/runs/x"],
)
def test_resume_takes_auto_an_id_or_a_folder(configured, override):
    assert str(configured(override).resume).lower() == override.removeprefix("resume=")


@pytest.mark.parametrize(("given", "meant"), [("true", True), ("false", False), ("auto", "auto")])
def test_jit_is_auto_true_or_false(configured, given, meant):
    assert configured(f"jit={given}").jit == meant


def _models(model: type[BaseModel] = Config) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _models(field.annotation)
    return found


def test_no_default_stands_in_the_schema():
    assert len(_models()) >= 9  # so that the search below really reaches the groups
    assert [
        f"{model.__name__}.{name}"
        for model in _models()
        for name, field in model.model_fields.items()
        if not field.is_required()
    ] == []


def test_the_keys_of_a_group_that_the_schema_leaves_open_are_its_arguments(configured):
    config = configured("optimizer=momentum", "model.hidden=[3]")
    found = config.optimizer.arguments
    assert (found["learning_rate"], found["momentum"]) == (0.05, 0.9)
    assert "_target_" not in found
    assert config.model.arguments == {"hidden": [3], "activation": "relu", "dropout": 0.0}
    assert config.model.target == "src.models.mlp.MLP"


def test_a_checked_configuration_never_changes(configured):
    with pytest.raises(ValueError, match="frozen"):
        configured().seed = 1


def test_an_interpolation_is_resolved(configured):
    assert configured("outputs=/elsewhere").tracking.uri == "sqlite:////elsewhere/mlflow.db"


def test_a_sqlite_store_is_the_same_file_from_any_folder(configured, monkeypatch, tmp_path):
    config = configured("outputs=out")
    monkeypatch.chdir(tmp_path)
    assert config.tracking.store_uri == f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}"
    monkeypatch.setenv("HOME", "/home/anne")
    home = configured("tracking.uri='sqlite:///~/runs.db'")
    assert home.tracking.store_uri == "sqlite:////home/anne/runs.db"
    server = configured("tracking.uri=http://127.0.0.1:5000")
    assert server.tracking.store_uri == "http://127.0.0.1:5000"
    assert configured("tracking=none").tracking.store_uri is None


def test_flatten_gives_dotted_leaves_in_order():
    nested = {"a": 1, "b": {"c": [1, {"d": 2}], "e": {"f": None}}, "g": {}}
    assert list(flatten(nested)) == [("a", 1), ("b.c", [1, {"d": 2}]), ("b.e.f", None)]


def test_each_key_of_the_configuration_is_flattened_once(configured, composed):
    values = configured("tracking=none").model_dump(by_alias=True)
    keys = [key for key, _ in flatten(values)]
    assert len(keys) == len(set(keys))
    assert {"optimizer.learning_rate", "data.batch_size", "model._target_", "seed"} <= set(keys)
    expected = OmegaConf.to_container(composed("tracking=none"), resolve=True)
    assert values == expected


def test_validation_needs_every_key(composed: Callable, tmp_path: Path):
    values = composed()
    for key in list(values):
        left = OmegaConf.masked_copy(values, [other for other in values if other != key])
        with pytest.raises(UserError, match=key):
            validate(left)
    assert set(schema.Config.model_fields) == set(values)

"""Ids that sort by time and never collide, and names after what a run is."""

import json
import re

import pytest

from src.naming import SWEPT_KEYS, assignments, child_name, new_id, run_name
from src.tracking.record import RunRecord


def test_ids_differ_and_hold_no_character_that_paths_or_overrides_mind():
    ids = {new_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", identifier) for identifier in ids)


def test_a_run_is_named_after_what_is_trained_unless_it_has_a_name(configured):
    assert run_name(configured("optimizer=adamw")) == "digits MLP AdamW"
    assert run_name(configured("name=ablation")) == "ablation"


@pytest.fixture
def sweep(tmp_path):
    def make(*keys: str):
        folder = tmp_path / "-".join(keys)
        RunRecord(id="s", name="s", tags={SWEPT_KEYS: json.dumps(keys)}).claim(folder)
        return folder

    return make


def test_a_child_is_named_after_what_varies_in_the_order_of_the_command(sweep):
    folder = sweep("optimizer.learning_rate", "data.batch_size")
    overrides = ["data.batch_size=32", "epochs=3", "optimizer.learning_rate=0.1"]
    assert child_name(folder, overrides, 4) == "learning_rate=0.1 batch_size=32"


def test_two_keys_of_one_name_are_told_apart(sweep):
    folder = sweep("data.seed", "seed", "model")
    overrides = ["data.seed=1", "seed=2", "model=cnn"]
    assert child_name(folder, overrides, 0) == "data.seed=1 seed=2 model=cnn"


def test_a_child_of_a_sweep_over_nothing_has_its_number(sweep):
    assert child_name(sweep("jobs"), ["epochs=3"], 4) == "job 4"


def test_assignments():
    overrides = ["a.b=1", "+c=x=y", "++d=2", "~e"]
    assert assignments(overrides) == {"a.b": "1", "c": "x=y", "d": "2"}

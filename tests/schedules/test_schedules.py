"""Schedules: hand-computed factors, and promises that all of them keep."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from src.errors import UserError
from src.schedules import constant, cosine, exponential, piecewise, warmup_cosine
from src.targets import bind, locate

FOLDER = Path("conf/schedule")
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def configured(name, **keys):
    """The schedule as configured: a function of update and total_updates."""
    values = {**yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), **keys}
    function = locate(values.pop("_target_"), "schedule._target_")
    bound = bind(function, values, key="schedule", offered={"update": 0, "total_updates": 0})
    return partial(function, **{key: bound[key] for key in values})


def test_constant():
    assert constant.factor(np.arange(3), total_updates=3).tolist() == [1, 1, 1]


def test_cosine():
    # cos(0) = 1, cos(60 degrees) = 1/2, cos(90) = 0, cos(120) = -1/2
    update = np.array([0, 20, 30, 40, 60, 90])
    result = cosine.factor(update, total_updates=60, final_factor=0.0)
    np.testing.assert_allclose(result, [1, 0.75, 0.5, 0.25, 0, 0], atol=1e-15)
    result = cosine.factor(update, total_updates=60, final_factor=0.2)
    np.testing.assert_allclose(result, [1, 0.8, 0.6, 0.4, 0.2, 0.2], atol=1e-15)


def test_warmup_cosine():
    keys: dict[str, Any] = {"warmup_fraction": 0.25, "warmup_updates": None, "final_factor": 0.0}
    result = warmup_cosine.factor(np.arange(17), total_updates=16, **keys)
    np.testing.assert_allclose(result[:5], [0.25, 0.5, 0.75, 1, 1], atol=1e-15)
    # Twelve updates are left: a third of the way is 4 of them, half-way 6.
    np.testing.assert_allclose(result[[8, 10, 12, 16]], [0.75, 0.5, 0.25, 0], atol=1e-15)


def test_warmup_by_number_of_updates_wins():
    keys: dict[str, Any] = {"warmup_fraction": 0.9, "warmup_updates": 2, "final_factor": 0.0}
    result = warmup_cosine.factor(np.arange(4), total_updates=4, **keys)
    np.testing.assert_allclose(result, [0.5, 1, 1, 0.5], atol=1e-15)


@pytest.mark.parametrize("warmup", [0, 5])
def test_warmup_of_nothing_and_of_everything(warmup):
    keys: dict[str, Any] = {"warmup_fraction": 0.0, "warmup_updates": warmup, "final_factor": 0.0}
    result = warmup_cosine.factor(np.arange(5), total_updates=5, **keys)
    expected = (1 + np.cos(np.pi * np.arange(5) / 5)) / 2 if warmup == 0 else np.arange(1, 6) / 5
    np.testing.assert_allclose(result, expected, atol=1e-15)


def test_warmup_longer_than_the_run_is_refused():
    with pytest.raises(UserError, match=r"schedule\.warmup_updates=7: the run has only 5 updates"):
        configured("warmup_cosine", warmup_updates=7)(np.arange(5), total_updates=5)


def test_exponential():
    update = np.array([0, 5, 10, 15, 20])
    keys: dict[str, Any] = {"total_updates": 20, "decay_rate": 0.25}
    smooth = exponential.factor(update, **keys, decay_updates=10, staircase=False)
    np.testing.assert_allclose(smooth, [1, 0.5, 0.25, 0.125, 0.0625], rtol=1e-15)
    steps = exponential.factor(update, **keys, decay_updates=10, staircase=True)
    np.testing.assert_allclose(steps, [1, 1, 0.25, 0.25, 0.0625], rtol=1e-15)
    whole = exponential.factor(update, **keys, decay_updates=None, staircase=False)
    np.testing.assert_allclose(whole[[2, 4]], [0.5, 0.25], rtol=1e-15)


def test_piecewise():
    result = piecewise.factor(
        np.arange(10), total_updates=10, boundaries=[0.3, 0.75], values=[1, 0.5, 0.1]
    )
    assert result.tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]


def test_piecewise_without_boundaries():
    result = piecewise.factor(np.arange(2), total_updates=2, boundaries=[], values=[0.5])
    assert result.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        (
            "piecewise",
            {"values": [1.0]},
            r"schedule\.values=\[1\.0\]: 2 boundaries make 3 stretches",
        ),
        (
            "piecewise",
            {"boundaries": [0.7, 0.2]},
            r"schedule\.boundaries=\[0\.7, 0\.2\]: each must",
        ),
        ("piecewise", {"boundaries": [0.5, 2]}, r"schedule\.boundaries"),
        ("piecewise", {"values": [1.0, -1.0, 0.0]}, r"schedule\.values"),
        ("cosine", {"final_factor": -0.1}, r"schedule\.final_factor=-0\.1"),
        ("cosine", {"final_factor": "small"}, r"schedule\.final_factor=small"),
        ("cosine", {"final": 0.1}, r"schedule\.final: .*final_factor"),
        ("warmup_cosine", {"warmup_fraction": 1.5}, r"schedule\.warmup_fraction=1\.5"),
        ("exponential", {"decay_rate": 0.0}, r"schedule\.decay_rate=0"),
        ("exponential", {"decay_rate": math.nan}, r"schedule\.decay_rate"),
        ("exponential", {"decay_updates": 0}, r"schedule\.decay_updates"),
    ],
)
def test_mistakes_name_the_key(name, keys, message):
    with pytest.raises(UserError, match=message):
        configured(name, **keys)(np.arange(4), total_updates=4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_every_schedule_is_a_pure_function_of_the_update(name, total):
    """In one go, in pieces of any length, one by one: the same bits. Resume depends on it."""
    update = np.arange(total, dtype=np.int64)
    factor = partial(configured(name), total_updates=total)
    whole = factor(update)
    assert whole.dtype == np.float64
    assert whole.shape == update.shape
    assert ((whole >= 0) & (whole <= 1)).all()
    for size in (1, 3, 64):
        pieces = [factor(update[i : i + size]) for i in range(0, total, size)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(factor(update[::-1])[::-1], whole)


def test_the_issue_names_these():
    assert NAMES == ["constant", "cosine", "exponential", "piecewise", "warmup_cosine"]

"""Which value of a metric is the better one."""

import math

import pytest

from src.ranking import better, direction


@pytest.mark.parametrize(
    "metric",
    [
        "val/loss",
        "train/loss",
        "val/mean_squared_error",
        "val/sparse_categorical_crossentropy",
        "val/kl_divergence",
        "val/hinge",
        "val/mae",
    ],
)
def test_less_is_better_for_losses_and_errors(metric):
    assert direction(metric) == "min"
    assert better(metric, 1.0, 2.0)
    assert not better(metric, 2.0, 1.0)


@pytest.mark.parametrize(
    "metric", ["val/accuracy", "train/accuracy", "val/auc", "val/recall", "val/r2_score"]
)
def test_more_is_better_for_the_rest(metric):
    assert direction(metric) == "max"
    assert better(metric, 2.0, 1.0)
    assert not better(metric, 1.0, 2.0)


def test_the_split_does_not_decide():
    assert direction("loss/accuracy") == "max"  # the name of the metric stands behind the slash


@pytest.mark.parametrize("metric", ["val/loss", "val/accuracy"])
def test_an_equal_value_is_no_better_so_the_first_stays(metric):
    assert not better(metric, 1.0, 1.0)


@pytest.mark.parametrize("metric", ["val/loss", "val/accuracy"])
def test_anything_beats_nothing_but_nan_beats_not_even_that(metric):
    assert better(metric, math.inf, None)
    assert better(metric, -math.inf, None)
    assert not better(metric, math.nan, None)
    assert not better(metric, math.nan, 1.0)

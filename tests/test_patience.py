"""When a metric has gone without improving for too long, and how far the learning rate falls."""

import math

import pytest

from src.patience import Patience, Plateau


def waits(patience, metric, values):
    """Epochs waited after each of `values`."""
    waited = []
    for value in values:
        patience.watch(metric, value)
        waited.append(patience.waited)
    return waited


@pytest.mark.parametrize(
    ("metric", "min_delta", "values", "expected"),
    [
        ("val/loss", 0.0, [3, 2, 2, 2.5, 1, 1.5], [0, 0, 1, 2, 0, 1]),
        ("val/accuracy", 0.0, [0.1, 0.3, 0.2, 0.3, 0.4], [0, 0, 1, 2, 0]),
        # Steps of 0.25 are no improvement until they add up to more than 0.5.
        ("val/loss", 0.5, [3, 2.75, 2.5, 2.25, 2], [0, 1, 2, 0, 1]),
        ("val/accuracy", 0.5, [0, 0.25, 0.5, 0.75, 1], [0, 1, 2, 0, 1]),
        ("val/loss", 0.0, [math.nan, 2, math.nan, math.inf, 1], [1, 0, 1, 2, 0]),
    ],
)
def test_epochs_without_an_improvement_are_counted(metric, min_delta, values, expected):
    assert waits(Patience(None, min_delta), metric, values) == expected


def test_it_is_over_after_so_many_epochs_and_never_without_a_number():
    patience, endless = Patience(2), Patience(None)
    for value, over in [(1.0, False), (1.0, False), (1.0, True)]:
        patience.watch("val/loss", value)
        endless.watch("val/loss", value)
        assert (patience.over, endless.over) == (over, False)


def test_what_a_checkpoint_keeps_is_all_that_counts():
    values = [3.0, 2.0, 2.0, math.nan, 1.9, 2.0]
    for stop in range(len(values)):
        whole, before, after = Patience(9, 0.5), Patience(9, 0.5), Patience(9, 0.5)
        waits(whole, "val/loss", values)
        waits(before, "val/loss", values[:stop])
        after.resume(before.progress)
        waits(after, "val/loss", values[stop:])
        assert after == whole


def rates(plateau, values, rate):
    found = []
    for value in values:
        rate = plateau.rate_after("val/loss", value, rate)
        found.append(rate)
    return found


def test_each_plateau_reduces_the_rate_once():
    plateau = Plateau(Patience(2), factor=0.5)
    #        best     waits 1, 2 (over), 1,   2 (over), better, 1
    values = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    assert rates(plateau, values, 8.0) == [8, 8, 4, 4, 2, 2, 2]


@pytest.mark.parametrize(("rate", "expected"), [(8.0, [8, 4, 3, 3]), (2.0, [2, 2, 2, 2])])
def test_the_rate_does_not_fall_below_the_minimum(rate, expected):
    assert rates(Plateau(Patience(1), 0.5, minimum=3.0), [1.0] * 4, rate) == expected


def test_without_patience_the_rate_stays():
    assert rates(Plateau(), [1.0] * 20, 0.5) == [0.5] * 20

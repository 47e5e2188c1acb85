"""Two devices that share each batch against one that has the whole of it."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.engine.on_two_devices import CASES, EPOCHS

# Sums are taken in another order: float32 keeps 7 digits of each.
CLOSE: Any = {"rtol": 2e-5, "atol": 2e-6}
CLOSE_IN_HALF: Any = {"rtol": 2e-2, "atol": 2e-3}  # of 3 digits
EQUAL = [name for name in CASES if name != "dropout"]


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """What the process found for each case, by name."""
    folder = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.on_two_devices", str(pictures), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for number, name in enumerate(CASES):
        with np.load(folder / f"{number}.npz") as content:
            found[name] = dict(content)
    return found


def of(found, way):
    """What was found on one way of training, by name."""
    return {
        name.removeprefix(f"{way}/"): value
        for name, value in found.items()
        if name.startswith(f"{way}/")
    }


@pytest.mark.parametrize("case", EQUAL)
def test_two_devices_reach_what_one_reaches(trained, case):
    one, two = of(trained[case], "one"), of(trained[case], "two")
    assert one.keys() == two.keys()
    assert np.unique(one["losses"]).size == one["losses"].size >= 2 * EPOCHS
    close = CLOSE_IN_HALF if case == "mixed precision" else CLOSE
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, err_msg=name, **close)


def test_the_clipping_is_at_work(trained):
    # Clipped after the sum, each update's gradient has the norm 0.1: the mean of the first moments,
    # of beta_1 = 0.9, can't be longer than that.
    state = of(trained["clipped by the global norm, one row left"], "two")
    moments = [v for name, v in state.items() if "momentum" in name]
    assert len(moments) == 4
    norm = np.sqrt(sum(float((moment**2).sum()) for moment in moments))
    assert 0.01 < norm <= 0.1 * (1 - 0.9**4) + 1e-6


def test_random_numbers_are_each_devices_own(trained):
    found = trained["dropout"]
    two = of(found, "two")
    # Devices that drew the same masks would make the update of one device on the same rows twice;
    # other masks give other losses than one device's.
    assert (of(found, "one")["losses"][1:] != two["losses"][1:]).all()


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_bit_for_bit(trained):
    two, stopped = of(trained["dropout"], "two"), of(trained["dropout"], "stopped")
    for name, value in two.items():
        np.testing.assert_array_equal(stopped[name], value, err_msg=name)


def test_the_seeds_that_are_saved_are_those_of_one_device(trained):
    one, two = of(trained["dropout"], "one"), of(trained["dropout"], "two")
    seeds = [name for name in one if name.endswith("seed_generator_state")]
    assert seeds
    for name in seeds:
        np.testing.assert_array_equal(two[name], one[name])

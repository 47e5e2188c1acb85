"""data=digits is scikit-learn's data set, read without importing scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from src.data import digits
from src.errors import UserError


def test_equals_scikit_learns_own_reading():
    source = digits.load()
    x, y = source.train
    expected = load_digits()
    np.testing.assert_array_equal(x[..., 0], expected.images)
    np.testing.assert_array_equal(y, expected.target)
    assert x.shape == (1797, 8, 8, 1)
    assert x.dtype == np.uint8
    assert source.class_names == tuple(str(name) for name in expected.target_names)


def test_imports_neither_scikit_learn_nor_tensorflow():
    program = (
        "import sys; from src.data import digits; digits.load(); "
        "print({'sklearn', 'scipy', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_without_scikit_learn_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install scikit-learn"):
        digits.load()


def test_another_layout_of_the_package_names_the_file(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec)
    with pytest.raises(UserError, match=r"digits\.csv\.gz can't be read"):
        digits.load()

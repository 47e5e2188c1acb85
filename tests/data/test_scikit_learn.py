"""The data sets that come with scikit-learn equal its own reading of them."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from src.data import breast_cancer, diabetes
from src.errors import UserError


def test_breast_cancer_equals_scikit_learns_own_reading():
    source, expected = breast_cancer.load(), load_breast_cancer()
    np.testing.assert_array_equal(source.train[0], expected.data)
    np.testing.assert_array_equal(source.train[1], expected.target)
    assert source.class_names == tuple(expected.target_names)
    assert source.labels == "integer"


def test_diabetes_equals_scikit_learns_own_reading():
    source, expected = diabetes.load(), load_diabetes(scaled=False)
    np.testing.assert_array_equal(source.train[0], expected.data)
    np.testing.assert_array_equal(source.train[1], expected.target)
    assert source.labels == "real"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (breast_cancer, r"data=breast_cancer: .*breast_cancer\.csv can't be read"),
        (diabetes, r"data=diabetes: .*diabetes_data_raw\.csv\.gz can't be read"),
    ],
)
def test_another_layout_of_the_package_names_the_file(monkeypatch, tmp_path, module, message):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec)
    with pytest.raises(UserError, match=message):
        module.load()

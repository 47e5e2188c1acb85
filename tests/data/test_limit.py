"""A data set with few rows of each split is otherwise the same data set."""

import numpy as np
import pytest

from src.data.dataset import Dataset, Split
from src.data.limit import few_rows


def split(rows: int) -> Split:
    return Split(np.arange(rows, dtype=np.float32)[:, None], np.arange(rows, dtype=np.int32))


@pytest.mark.parametrize("test", [None, split(5)])
def test_rows_of_each_split_are_kept_at_even_distances(test):
    whole = Dataset("d", split(9), split(2), test, 9, "integer", tuple("abcdefghi"), "s", "digest")
    few = few_rows(whole, 3)
    assert (few.train_rows, few.val_rows, few.test_rows) == (3, 2, 3 if test else 0)
    np.testing.assert_array_equal(few.train.x, whole.train.x[[0, 4, 8]])
    np.testing.assert_array_equal(few.train.y, [0, 4, 8])
    assert (few.num_classes, few.class_names, few.digest) == (9, whole.class_names, "digest")
    assert few_rows(whole, None) is whole

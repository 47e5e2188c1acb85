"""A few rows of a data set, for a quick look at whether anything works at all."""

import dataclasses

import numpy as np

from src.data.dataset import Dataset, Split


def few_rows(dataset: Dataset, count: int | None) -> Dataset:
    """The data set with at most `count` rows in each split; the whole of it for None.

    They are taken at even distances, as rows are often sorted by class. Everything else stays what
    it is of the whole: the scaling, the classes, the digest.
    """
    if count is None:
        return dataset
    splits: dict[str, Split] = {
        name: dataclasses.replace(split, x=split.x[chosen], y=split.y[chosen])
        for name, split in dataset.splits().items()
        for chosen in [np.linspace(0, split.rows - 1, min(count, split.rows)).astype(np.int64)]
    }
    return dataclasses.replace(dataset, **splits)  # type: ignore[arg-type]

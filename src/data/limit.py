"""The first rows of a data set, for a quick look at whether anything works at all."""

import dataclasses

from src.data.dataset import Dataset, Split


def first_rows(dataset: Dataset, count: int | None) -> Dataset:
    """The data set with at most `count` rows in each split; the whole of it for None.

    Everything else stays what it is of the whole: the scaling, the classes, the digest.
    """
    if count is None:
        return dataset
    splits: dict[str, Split] = {
        name: dataclasses.replace(split, x=split.x[:count], y=split.y[:count])
        for name, split in dataset.splits().items()
    }
    return dataclasses.replace(dataset, **splits)  # type: ignore[arg-type]

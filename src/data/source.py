"""What the function behind `data._target_` returns: the raw arrays, not yet split or scaled."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from src.data.columns import Layout
from src.data.dataset import LabelKind

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Source:
    """Raw arrays of a data set. A split that is None is taken out of `train`.

    Each split is (x, y): x (rows, *input_shape) of booleans, integers or floats; y integers (rows,)
    for `labels="integer"`, or (rows, length) with a label for each position of x; (rows, classes)
    for "one_hot" and "soft", (rows,) or (rows, outputs) for "real".

    num_classes: None where the labels themselves tell it.
    class_names: empty where the classes have no names.
    source: the path or a description; error messages open with it.
    vocabulary: how many tokens there are, where x is tokens, integers from 0; None for numbers.
    streaming: whether its rows stay in their files while training: see `src.data.stored.streams`.
    layout: what the columns of x are, where x is the raw numbers of a table; see `columns.raw`.
    """

    name: str
    train: Arrays
    val: Arrays | None
    test: Arrays | None
    labels: LabelKind
    num_classes: int | None
    class_names: tuple[str, ...]
    source: str
    vocabulary: int | None = None
    layout: Layout | None = None
    streaming: bool | Literal["auto"] = False

    def splits(self) -> dict[str, Arrays]:
        """The splits that exist, by name."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: arrays for name, arrays in named.items() if arrays is not None}

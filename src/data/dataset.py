"""What a run trains on: inputs and labels, divided into splits."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from src.data.features import Features
from src.data.normalise import IDENTITY, Scaling

LabelKind = Literal["integer", "one_hot", "soft", "real"]


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split.

    x: float32 (rows, *input_shape), or int32 where they are tokens of a vocabulary; where they are
       streamed, a `src.data.stored.StoredRows`.
    y: int32 (rows,) for integer labels, or (rows, length), one for each position of x;
       float32 (rows, classes) for one-hot and soft labels; float32 (rows, outputs) for real values.
    """

    x: np.ndarray
    y: np.ndarray

    @property
    def rows(self) -> int:
        """How many rows the split holds."""
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of a data set and what models, losses and records need to know of it.

    num_classes: width of the model's output (for real labels: the number of values predicted).
    class_names: one for each class; empty for real labels.
    source: the path or a description of where the arrays come from.
    digest: sha256 in hex over the arrays as the source gave them, dtype and shape included.
    vocabulary: how many tokens there are, where x is tokens; None where it is numbers.
    features: how x was made of a table's columns; None where it was no table.
    scaling: what was done to x as the source gave it.
    examples: a few rows of `val.x` as the source gave them, of the dtype that the model takes.
    """

    name: str
    train: Split
    val: Split
    test: Split | None
    num_classes: int
    labels: LabelKind
    class_names: tuple[str, ...]
    source: str
    digest: str
    vocabulary: int | None = None
    features: Features | None = None
    scaling: Scaling = IDENTITY
    examples: np.ndarray | None = None

    def splits(self) -> dict[str, Split]:
        """The splits that exist, by name."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of x."""
        return self.train.x.shape[1:]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of a model's output for one row: num_classes, for each label of the row."""
        labels = self.train.y.shape[1:] if self.labels == "integer" else ()
        return (*labels, self.num_classes)

    @property
    def train_rows(self) -> int:
        """Rows to train on."""
        return self.train.rows

    @property
    def val_rows(self) -> int:
        """Rows to validate on."""
        return self.val.rows

    @property
    def test_rows(self) -> int:
        """Rows to test on; 0 where there is no test split."""
        return self.test.rows if self.test else 0

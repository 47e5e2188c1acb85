"""What a run takes and gives: kept in its folder, so that it can be used without its data."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.data.check import check_tokens
from src.data.dataset import Dataset, LabelKind, Split
from src.data.features import Features, from_record
from src.data.normalise import Scaling, apply
from src.data.source import Source
from src.errors import UserError

FILE_NAME = "inputs.json"


@dataclass(frozen=True, eq=False)
class Inputs:
    """The rows a model takes, as a source gives them, and the meaning of what it gives.

    input_shape: of one row of x.
    num_classes: width of the model's output.
    class_names: one for each class; empty for real labels.
    scaling: applied to x before the model sees it.
    vocabulary: how many tokens there are, where x is tokens; None where it is numbers.
    positions: the shape of one row of y, where each position of x has a label.
    features: how x is made of a table's columns; None where it was no table.
    """

    input_shape: tuple[int, ...]
    num_classes: int
    labels: LabelKind
    class_names: tuple[str, ...]
    scaling: Scaling
    features: Features | None = None
    vocabulary: int | None = None
    positions: tuple[int, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> "Inputs":
        """Those of a run on `dataset`."""
        return cls(
            dataset.input_shape,
            dataset.num_classes,
            dataset.labels,
            dataset.class_names,
            dataset.scaling,
            dataset.features,
            dataset.vocabulary,
            dataset.output_shape[:-1],
        )

    @property
    def dtype(self) -> str:
        """Of the rows that the model takes."""
        return "float32" if self.vocabulary is None else "int32"

    def of_rows(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What the model takes of some rows of x, as a source or a user gives them.

        Raises:
            UserError: a value is too large, or no token of the vocabulary.
        """
        if self.vocabulary is None:
            return apply(x, rows, self.scaling)
        check_tokens(x[rows], self.vocabulary, "input")
        return x[rows].astype(np.int32)

    def text(self) -> str:
        """As JSON, which has every float64 in full."""
        content = {
            "input_shape": self.input_shape,
            "num_classes": self.num_classes,
            "labels": self.labels,
            "class_names": self.class_names,
            "offset": self.scaling.offset.tolist(),
            "scale": self.scaling.scale.tolist(),
            "features": self.features.record() if self.features else None,
            "vocabulary": self.vocabulary,
            "positions": self.positions,
        }
        return json.dumps(content) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "Inputs | None":
        """Those of the run in `folder`; None for a run from before they were kept.

        Raises:
            UserError: naming the file, when it is damaged.
        """
        path = folder / FILE_NAME
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                tuple(int(size) for size in content["input_shape"]),
                int(content["num_classes"]),
                content["labels"],
                tuple(str(name) for name in content["class_names"]),
                Scaling(
                    np.asarray(content["offset"], np.float64),
                    np.asarray(content["scale"], np.float64),
                ),
                from_record(content["features"]) if content["features"] else None,
                content.get("vocabulary"),
                tuple(int(size) for size in content.get("positions", ())),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: can't be read ({type(error).__name__}: {error}); restore it from a copy"
            ) from error

    def stand_in(self) -> Dataset:
        """Rows of zeros, one for each class, in the place of the run's data."""
        count = self.num_classes
        y: np.ndarray
        if self.labels == "integer":
            y = np.arange(count, dtype=np.int32)
        elif self.labels == "real":
            y = np.zeros((1, count), np.float32)
        else:
            y = np.eye(count, dtype=np.float32)
        y = np.resize(y, (len(y), *self.positions)) if self.positions else y
        split = Split(np.zeros((len(y), *self.input_shape), self.dtype), y)
        return Dataset(
            name="the recorded run's data",
            train=split,
            val=split,
            test=None,
            num_classes=count,
            labels=self.labels,
            class_names=self.class_names,
            source="stand-in",
            digest="",
            scaling=self.scaling,
            vocabulary=self.vocabulary,
        )

    def fitting(self, source: Source) -> Source:
        """`source` with the classes that the run knows, of which it may hold only some.

        Raises:
            UserError: a row or a label of the source is none that the run's model takes or gives.
        """
        if source.vocabulary is not None and source.class_names and self.vocabulary is not None:
            source = self._numbered(source)
        self._check_rows(source)
        if (source.labels == "real") != (self.labels == "real"):
            raise UserError(
                f"{source.source}: its labels are {source.labels}, the run was trained on "
                f"{self.labels} ones"
            )
        if source.vocabulary is not None and source.class_names != self.class_names:
            raise UserError(
                f"{source.source}: its tokens are not those of the run, which knows "
                f"{self.num_classes} of them"
            )
        columns = source.train[1].shape[1] if source.train[1].ndim == 2 else 1
        named = source.labels == "integer" and source.class_names and self.class_names
        if named and source.class_names != self.class_names:
            source = self._numbered(source)
        width = columns if source.labels != "integer" else source.num_classes
        if width not in (None, self.num_classes):
            raise UserError(
                f"{source.source}: it has {width} outputs or classes, the run's model "
                f"{self.num_classes}"
            )
        if source.labels == "real":
            return source
        largest = max(int(y.max()) for _, y in source.splits().values())
        if source.labels == "integer" and largest >= self.num_classes:
            raise UserError(
                f"{source.source}: y holds the label {largest}, the run's model knows the classes "
                f"0 to {self.num_classes - 1}"
            )
        return dataclasses.replace(
            source, num_classes=self.num_classes, class_names=self.class_names
        )

    def _check_rows(self, source: Source) -> None:
        if (self.features is None) != (source.layout is None):
            ours, theirs = ("arrays", "a table") if source.layout else ("a table", "arrays")
            raise UserError(f"{source.source}: it is {theirs}, and the run was trained on {ours}")
        if self.features is not None and source.layout is not None:
            known = {c.name: c.categories is None for c in self.features.layout.columns}
            found = {c.name: c.categories is None for c in source.layout.columns}
            if list(known.items()) != list(found.items()):
                raise UserError(
                    f"{source.source}: its columns are {', '.join(found)}, the run's "
                    f"{', '.join(known)}, of numbers or categories each; they must be the same"
                )
            return
        if source.vocabulary != self.vocabulary:
            raise UserError(
                f"{source.source}: it has {_what_x_is(source.vocabulary)}, the run was trained on "
                f"{_what_x_is(self.vocabulary)}"
            )
        shape = source.train[0].shape[1:]
        if shape != self.input_shape:
            raise UserError(
                f"{source.source}: a row of x has shape {shape}, the run's model takes "
                f"{self.input_shape}"
            )

    def _numbered(self, source: Source) -> Source:
        """`source` with its classes, which are also its tokens, numbered as the run's."""
        unknown = [name for name in source.class_names if name not in self.class_names]
        if unknown:
            raise UserError(
                f"{source.source}: the run's model doesn't know the class {unknown[0]!r}; it knows "
                f"{', '.join(self.class_names[:20])}"
            )
        number = np.array([self.class_names.index(name) for name in source.class_names])
        tokens = source.vocabulary is not None
        splits: dict[str, Any] = {
            name: (number[x] if tokens else x, number[y])
            for name, (x, y) in source.splits().items()
        }
        return dataclasses.replace(
            source,
            **splits,
            vocabulary=self.vocabulary,
            num_classes=self.num_classes,
            class_names=self.class_names,
        )


def _what_x_is(vocabulary: int | None) -> str:
    return "numbers" if vocabulary is None else f"tokens of a vocabulary of {vocabulary}"

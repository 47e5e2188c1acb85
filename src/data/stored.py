"""Rows that stay in their file: read and scaled as they are used."""

from typing import NoReturn

import numpy as np

from src.data.chunks import row_chunks
from src.data.normalise import Scaling, apply
from src.data.row_reader import RowReader
from src.errors import UserError

# Of the free memory, this share may be filled by rows that are held; the program holds them too.
SHARE = 0.4
LARGEST = float(np.finfo(np.float32).max)


class StoredRows:
    """Rows of a memory-mapped array, in the place of a split's x: the same values, bit for bit.

    Args:
        source: (all rows, *input_shape), memory-mapped.
        chosen: the numbers of the split's rows in `source`.
        scaling: fitted on the training rows.

    Raises:
        UserError: when a value exceeds float32 after scaling.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, source: np.ndarray, chosen: np.ndarray, scaling: Scaling) -> None:
        self.shape = (len(chosen), *source.shape[1:])
        self.ndim = source.ndim
        self._source, self._chosen, self._scaling = RowReader.of(source), chosen, scaling
        if source.dtype.kind == "f":
            self._check_range()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """The rows of a slice or of an array of row numbers, float32 (rows, *input_shape)."""
        return apply(self._source, self._chosen[index], self._scaling)

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("rows that are streamed are not held in memory as a whole")

    def _check_range(self) -> None:
        # Now, and not when training has come to the row.
        for piece in row_chunks(self._source, len(self)):
            rows = self._source[self._chosen[piece]].astype(np.float64)
            rows -= self._scaling.offset
            rows /= self._scaling.scale
            if np.abs(rows).max() > LARGEST:
                raise UserError(
                    f"data: x holds values that float32 can't ({np.abs(rows).max():g} after "
                    "normalisation; the limit is 3.4e38); scale them down"
                )


def streams(wanted: bool | str, arrays: list[np.ndarray], where: str, room: int | None) -> bool:
    """Whether the rows of a source stay in their files.

    Args:
        wanted: true, false, or `auto`: where they would take too much of the memory.
        arrays: the x of all splits.
        where: the source, for messages.
        room: free memory in bytes; None where it is not known.

    Raises:
        UserError: they should stream and can't.
    """
    mapped = all(isinstance(x, np.memmap) for x in arrays)
    if wanted is True and not mapped:
        raise UserError(
            f"data.streaming=true: {where} has to be read whole; a folder of uncompressed .npy "
            "files streams"
        )
    if wanted == "auto":
        return mapped and too_large(sum(x.size for x in arrays), room)
    return bool(wanted)


def too_large(values: int, room: int | None) -> bool:
    """Whether so many values, held as float32, would fill too much of `room` free bytes."""
    return room is not None and 4 * values > SHARE * room

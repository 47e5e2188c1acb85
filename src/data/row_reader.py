"""Single rows of a large array file, read and not mapped."""

import mmap
import os
import weakref

import numpy as np


class RowReader:
    """The rows of a memory-mapped array, by their numbers.

    Reading a row through the mapping would map all that the system keeps around it: Linux 6.18 maps
    whole folios, of up to 2 MiB, so that a few batches of rows from anywhere map the whole file.
    What is read leaves nothing behind in the process, and a file that was cut short is an error and
    no signal that ends it.

    Args:
        mapped: (rows, ...), of a file, in C order.
    """

    def __init__(self, mapped: np.memmap) -> None:
        self.shape, self.dtype, self.ndim, self.size = (
            mapped.shape,
            mapped.dtype,
            mapped.ndim,
            mapped.size,
        )
        self._path = str(mapped.filename)
        self._offset = mapped.offset
        self._row_bytes = mapped.nbytes // len(mapped)
        # Open from now on: the file may be deleted while it is used, as a mapped one may.
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    @classmethod
    def of(cls, array: np.ndarray) -> "RowReader | np.ndarray":
        """A reader of the array, or the array itself where it is not the whole of a file."""
        # A part of a mapped array keeps the offset of the whole: the file's rows are not its own.
        if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap):
            return array
        return cls(array) if array.flags.c_contiguous and len(array) else array

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """A new array (len(rows), ...) of the rows with these numbers.

        Raises:
            OSError: the file is shorter than it was.
        """
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        places = found.reshape(-1).view(np.uint8).data
        size = self._row_bytes
        for number, row in enumerate(rows.tolist()):
            place = places[number * size : (number + 1) * size]
            if os.preadv(self._file, [place], self._offset + row * size) != size:
                raise OSError(f"{self._path}: row {row} can't be read, the file was cut short")
        return found

"""CSV files as columns of text: what is read before anything is made of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import UserError

SIGNS = {r"\t": "\t", ";": ";", "|": "|", ",": ","}


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a CSV file.

    columns: by name, in the file's order; str objects (rows,), stripped of blanks around it.
    """

    path: Path
    columns: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        """How many rows there are below the header."""
        return len(next(iter(self.columns.values())))

    def column(self, name: str) -> np.ndarray:
        """The cells of a column.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.columns:
            raise UserError(f"{self.path}: no column {name!r}; it has {', '.join(self.columns)}")
        return self.columns[name]


def read(path: str | None, separator: str, key: str) -> Table:
    """Read a CSV file with a header, plain or compressed (.gz, .bz2, .xz, .zip), in UTF-8.

    Args:
        path: of the file on this machine.
        separator: between the cells of a row.
        key: of the configuration, for messages.

    Raises:
        UserError: no such file, not a CSV file, no rows, names that are missing or twice there.
    """
    if path is None:
        raise UserError(f"{key}: give {key}=FILE.csv, a table with a header")
    place = Path(path).expanduser()
    if not place.is_file():
        raise UserError(f"{key}={path}: no such file; give a CSV file with a header")
    import pandas as pd  # half a second, so not before it is needed

    try:
        # Without a header, so that no name is changed and no column becomes an index in silence.
        frame = pd.read_csv(
            place,
            sep=separator,
            header=None,
            dtype=str,
            na_filter=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except (ValueError, OSError, EOFError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{place}: can't be read as a CSV file in UTF-8 ({reason})") from error
    if len(frame) < 2:
        raise UserError(f"{place}: it has no row below its header")
    # Objects: an array of NumPy's own text type gives each cell the room of the longest.
    columns = [frame[number].fillna("").str.strip().to_numpy(dtype=object) for number in frame]
    names = [str(column[0]) for column in columns]
    for number, name in enumerate(names, start=1):
        if not name:
            raise UserError(f"{place}: column {number} has no name in the header")
        if names.count(name) > 1:
            raise UserError(f"{place}: two columns are called {name!r}; rename one of them")
    if len(names) == 1:
        sign = next((shown for shown, sign in SIGNS.items() if sign in names[0]), ";")
        raise UserError(
            f"{place}: one column only, {names[0][:60]!r}; if its cells are separated by another "
            f"sign, say so: data.separator='{sign}'"
        )
    return Table(place, {name: column[1:] for name, column in zip(names, columns, strict=True)})

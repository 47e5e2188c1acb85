"""The files of the data sets that come with scikit-learn's package, read without importing it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from src.errors import UserError

Table = TypeVar("Table")


def read(choice: str, name: str, reader: Callable[[Path], Table]) -> Table:
    """What `reader` makes of the file `name` among scikit-learn's data.

    `import sklearn.datasets` takes about a second, half of it SciPy; finding the file takes a
    millisecond and reading it 20.

    Args:
        choice: the data set's name in the configuration, for messages.
        name: of the file.
        reader: given its path; what it raises for a damaged file is explained.

    Raises:
        UserError: when scikit-learn is missing or lays out its data in another way.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise UserError(f"data={choice}: it comes with scikit-learn; pip install scikit-learn")
    path = Path(package.submodule_search_locations[0], "datasets", "data", name)
    try:
        return reader(path)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise UserError(
            f"data={choice}: {path} can't be read ({error}); reinstall scikit-learn"
        ) from error

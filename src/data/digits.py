"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 pixels (Alpaydin & Kaynak 1998)."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from src.data.source import Source
from src.errors import UserError


def load() -> Source:
    """Read the digits from scikit-learn's package.

    Returns:
        x uint8 (1797, 8, 8, 1) with values 0..16, y int64 (1797,); no splits.

    Raises:
        UserError: when scikit-learn is missing or lays out its data in another way.
    """
    # `import sklearn.datasets` takes about a second, half of it SciPy; finding the file takes a
    # millisecond and reading it 20.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise UserError("data=digits: the images come with scikit-learn; pip install scikit-learn")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)  # (1797, 64 pixels + label)
        images = table[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise UserError(
            f"data=digits: {path} can't be read ({error}); reinstall scikit-learn"
        ) from error
    return Source(
        name="digits",
        train=(images, table[:, 64].copy()),
        val=None,
        test=None,
        labels="integer",
        num_classes=10,
        class_names=tuple("0123456789"),
        source="scikit-learn digits",
    )

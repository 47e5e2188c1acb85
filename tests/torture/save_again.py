"""Saves one update twice, with different progress: `python -m tests.torture.save_again FOLDER`."""

import sys
from pathlib import Path

import numpy as np

from src.engine.checkpoint import Checkpoints


def main() -> None:
    """Save updates 1 and 2, then 2 once more."""
    checkpoints = Checkpoints(Path(sys.argv[1]))
    for update, value in ((1, 1), (2, 2), (2, 3)):
        checkpoints.save(update, {"w": np.full(3, value, np.float32)}, None, {"value": value})


if __name__ == "__main__":
    main()

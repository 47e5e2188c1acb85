"""Random rows with random soft labels: nothing to learn, for timing and the notes' experiments."""

from typing import Annotated

import numpy as np
from pydantic import Field

from src.data.source import Arrays, Source

STREAM = 1  # sets the rows apart from the split, which is drawn with the same seed


def load(
    *,
    rows: Annotated[int, Field(gt=0)],
    features: Annotated[int, Field(gt=0)],
    classes: Annotated[int, Field(gt=1)],
    validation_rows: Annotated[int, Field(gt=0)],
    test_rows: Annotated[int, Field(ge=0)],
    seed: int,
) -> Source:
    """Draw all values uniformly from [0, 1), labels too: a row of labels sums to about classes / 2.

    Returns:
        x float32 (rows, features), y float32 (rows, classes), and likewise for validation and test.
    """
    generator = np.random.Generator(np.random.Philox(key=seed + (STREAM << 64)))

    def draw(count: int) -> Arrays:
        return (
            generator.random((count, features), dtype=np.float32),
            generator.random((count, classes), dtype=np.float32),
        )

    return Source(
        name="random",
        train=draw(rows),
        val=draw(validation_rows),
        test=draw(test_rows) if test_rows else None,
        labels="soft",
        num_classes=classes,
        class_names=(),
        source=f"uniform random values, seed {seed}",
    )

"""Small sources for the tests of this folder."""

import dataclasses

import numpy as np
import pytest

from src.data.source import Source

PLAIN = Source(
    name="small",
    train=(np.arange(60, dtype=np.float64).reshape(20, 3), np.arange(20) % 2),
    val=None,
    test=None,
    labels="integer",
    num_classes=None,
    class_names=(),
    source="small.npz",
)


@pytest.fixture
def make_source():
    """A source of 20 rows in two classes, with the given fields replaced."""

    def make(**fields):
        return dataclasses.replace(PLAIN, **fields)

    return make

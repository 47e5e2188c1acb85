"""One prepared database for all tests, copied for each; a real MLflow server where needed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.tracking import sqlite_file
from tests.tracking.runs import Rows
from tests.tracking.server import serving


@pytest.fixture(scope="session")
def prepared_database(tmp_path_factory) -> Path:
    database = tmp_path_factory.mktemp("store") / "prepared.db"
    sqlite_file.prepare(database)
    return database


@pytest.fixture
def database(prepared_database, tmp_path) -> Path:
    path = tmp_path / "outputs" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(prepared_database, path)
    return path


@pytest.fixture
def uri(database) -> str:
    return f"sqlite:///{database}"


@pytest.fixture
def outputs(database) -> Path:
    return database.parent


@pytest.fixture
def rows(database) -> Rows:
    return Rows(database)


@pytest.fixture(scope="session")
def server(prepared_database, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """(address, database) of a real MLflow server; serves artifacts too."""
    with serving(tmp_path_factory.mktemp("server"), prepared_database) as started:
        yield started.address, started.database

"""One prepared database for all tests, copied for each; a real MLflow server where needed."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.tracking import sqlite_file
from tests.tracking.runs import Rows, free_port


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
    folder = tmp_path_factory.mktemp("server")
    database = folder / "server.db"
    shutil.copyfile(prepared_database, database)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=2):
                    break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
        yield address, database
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers are in its own session
        process.wait(30)

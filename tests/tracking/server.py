"""A real MLflow server, as a process."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.tracking.runs import free_port


@dataclass(frozen=True)
class Server:
    """Where a server listens, and what it keeps."""

    address: str
    database: Path
    artifacts: Path


@contextlib.contextmanager
def serving(folder: Path, prepared_database: Path) -> Iterator[Server]:
    """A server over a copy of a database; it serves artifacts too."""
    folder.mkdir(parents=True, exist_ok=True)
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
        yield Server(address, database, folder / "artifacts")
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers are in its own session
        process.wait(30)

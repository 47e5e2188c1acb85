"""What `make ui` runs, in an environment that would have it listen everywhere."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tracking.conftest import prepared_database  # noqa: F401 - a fixture
from tests.tracking.runs import free_port

HOSTILE = {
    "MLFLOW_HOST": "0.0.0.0",
    "MLFLOW_SERVER_HOST": "0.0.0.0",
    "UVICORN_HOST": "0.0.0.0",
    "UVICORN_PORT": "1",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true",
    "FORWARDED_ALLOW_IPS": "*",
}


def listening(port: int) -> set[str]:
    """The local addresses on which some process listens at `port`, in hex, of both IP versions."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if fields[3] == "0A" and int(number, 16) == port:
                found.add(address)
    return found


def status(port: int, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": host}
    )
    return connection.getresponse().status


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_it_listens_on_loopback_alone_whatever_the_environment_says(
    root,
    prepared_database,  # noqa: F811
    tmp_path,
):
    shutil.copyfile(prepared_database, tmp_path / "mlflow.db")
    port = free_port()
    environment = {**os.environ, **HOSTILE}
    words = ["make", "-n", "ui", f"PORT={port}", f"OUTPUTS={tmp_path}", f"VENV={tmp_path / 'venv'}"]
    said = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True).stdout
    command = said[said.index("exec env") :].replace(f"{tmp_path}/venv/bin/python", sys.executable)
    for name in HOSTILE:
        assert f"-u {name} " in command
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not listening(port):
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        assert listening(port) == {"0100007F"}  # 127.0.0.1
        for host, expected in (
            (f"127.0.0.1:{port}", 200),
            (f"localhost:{port}", 200),
            ("evil.example", 403),
            (f"evil.example:{port}", 403),
        ):
            assert (host, status(port, host)) == (host, expected)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)

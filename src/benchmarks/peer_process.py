"""The processes of the peers that are measured in turns: started once, idle while others train.

A peer has a process of its own so that none disturbs another: `src.startup` asks TensorFlow for
deterministic operations, for example, and Keras then silently drops `jit_compile=True`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from src.benchmarks.commands import ROOT, CommandFailed, environment, failure


class PeerProcess:
    """`python -m src.benchmarks.peers NAME`: takes requests and answers them, one at a time."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self._log: IO[bytes] = log.open("w+b")
        self._command = [sys.executable, "-m", "src.benchmarks.peers", name]
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def send(self, request: str, **arguments: Any) -> None:
        """Make a request without waiting for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"request": request, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest request that has none yet.

        Raises:
            CommandFailed: the process died, or the request failed there.
        """
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise self._failure()
        content: dict[str, Any] = json.loads(answer)
        if "error" in content:
            raise CommandFailed(f"the peer {self.name}: {content['error']}")
        return content

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Make a request and wait for its answer."""
        self.send(request, **arguments)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _failure(self) -> CommandFailed:
        code = self._process.wait()
        self._log.seek(0)
        return failure(self._command, code, self._log.read().decode(errors="replace"))


class Peers:
    """The processes by name, started when they are first wanted."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._processes: dict[str, PeerProcess] = {}

    def get(self, names: Iterable[str]) -> dict[str, PeerProcess]:
        """The processes of these peers."""
        names = list(names)
        for name in names:
            if name not in self._processes:
                self._work.mkdir(parents=True, exist_ok=True)
                log = self._work / f"{name}-{os.getpid()}.log"
                self._processes[name] = PeerProcess(name, log)
        return {name: self._processes[name] for name in names}

    def close(self) -> None:
        """End all processes."""
        while self._processes:
            self._processes.popitem()[1].close()

    def __enter__(self) -> "Peers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

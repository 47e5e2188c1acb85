"""The tester's handle on a zygote: runs commands in forks, and kills them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said, on both streams."""

    code: int
    said: str


class Zygote:
    """`tests.torture.zygote` as a process; see there."""

    def __init__(self, folder: Path) -> None:
        """folder: where commands run, and what they say is kept."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self._outputs: dict[int, Path] = {}  # of the commands that were not waited for

    def __enter__(self) -> Self:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "CRASH"))}
        with (self.folder / "zygote.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.zygote"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                env={**environment, "PYTHONPATH": str(ROOT)},
            )
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in self._outputs:  # it was interrupted: the zygote waits for one of them
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            self._process.communicate('{"end": true}\n', timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.communicate()

    def spawn(
        self,
        module: str,
        *arguments: str,
        crash: str = "",
        victim: str = "train",
        passings: Path | None = None,
        sabotage: str = "",
        one_by_one: bool = False,
        at: float = 0.0,
    ) -> int:
        """The process id of `python -m MODULE ARGUMENTS...`, forked.

        Args:
            module: such as `src.train`.
            arguments: of the command line.
            crash: the crash point NAME:N, in the process that is the victim.
            victim: "train", which is the command itself, or its "shipper".
            passings: where the victim writes down what points it passes.
            sabotage: what to take out of both processes; see `sabotage`.
            one_by_one: one update a call.
            at: on the monotonic clock; the command waits until then.
        """
        self._count += 1
        order = {
            "module": module,
            "arguments": arguments,
            "folder": str(self.folder),
            "output": str(self.folder / f"{self._count}.txt"),
            "crash": crash,
            "victim": victim,
            "passings": str(passings or ""),
            "sabotage": sabotage,
            "one_by_one": one_by_one,
            "at": at,
        }
        pid = int(self._ask(spawn=order)["pid"])
        self._outputs[pid] = Path(str(order["output"]))
        return pid

    def wait(self, pid: int) -> Ended:
        """How the command of this process id ended."""
        code = int(self._ask(wait=pid)["code"])
        return Ended(code, self._outputs.pop(pid).read_text(encoding="utf-8", errors="replace"))

    def run(self, module: str, *arguments: str, **given: Any) -> Ended:
        """`spawn`, then `wait`."""
        return self.wait(self.spawn(module, *arguments, **given))

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the zygote ended: {(self.folder / 'zygote.log').read_text()}")
        content: dict[str, Any] = json.loads(line)
        return content

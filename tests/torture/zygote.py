"""A process that has imported everything and started nothing: it forks commands at once.

Importing TensorFlow and MLflow takes 5 s of a processor; a fork of a process that has them takes
some milliseconds. That is safe as long as the parent never starts TensorFlow's runtime (threads
don't survive a fork), so the parent imports, waits for orders and does nothing else. What is forked
runs the very code of `python -m src.train` or `python -m src.sync`; its shipper is forked too.

Orders are lines of JSON on standard input, answers lines on standard output:
    {"spawn": {...}}   an `Order`; the answer is {"pid": ...}
    {"wait": PID}      the answer is {"code": ...}: its exit code, -9 where it was killed
    {"end": true}      kill what is left, and exit
"""

import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36


def import_all() -> None:
    """What training, its shipper and late delivery import; TensorFlow's runtime is not started."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.path.append(str(ROOT / "src"))
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()  # as src/startup.py does, which finds it done
    import src.execution
    import src.sweep
    import src.tracking.drain
    import src.tracking.pictures
    import src.tracking.pump
    import src.tracking.shipper
    import src.tracking.sqlite_store
    import src.tracking.sweep_pictures
    import src.training  # noqa: F401


class Forked:
    """Stands for the `subprocess.Popen` of the shipper: a fork that runs its `main`."""

    def __init__(self, order: dict[str, Any], stderr: Any, env: dict[str, str]) -> None:
        commands, events = os.pipe(), os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            for number, descriptor in enumerate((commands[0], events[1], stderr.fileno())):
                os.dup2(descriptor, number)
            os.closerange(3, 256)
            os.environ.update(env)
            arm(order, "shipper")
            from src.tracking import shipper

            leave(shipper.main)
        os.close(commands[0])
        os.close(events[1])
        self.stdin, self.stdout = os.fdopen(commands[1], "wb", 0), os.fdopen(events[0], "rb")

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("the shipper", timeout)
            time.sleep(0.005)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def arm(order: dict[str, Any], victim: str) -> None:
    """Set the crash point, the record of passings or the sabotage of an order in this process."""
    from src import crash_points
    from tests.torture import sabotage

    crash_points.passing = crash_points.unarmed
    if victim == order["victim"]:
        if order["crash"]:
            crash_points.passing = crash_points.armed(order["crash"])
        elif order["passings"]:
            crash_points.passing = recorder(order["passings"])
    if order["sabotage"]:
        getattr(sabotage, order["sabotage"])()


def recorder(path: str) -> Callable[[str], None]:
    """What writes each passing down."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    return lambda name: void(os.write(descriptor, f"{name}\n".encode()))


def void(_: object) -> None:
    pass


def passings(path: Path) -> Counter[str]:
    """How often each point was passed, as `recorder` wrote it down."""
    return Counter(path.read_text(encoding="utf-8").split()) if path.exists() else Counter()


def leave(function: Callable[[], object]) -> None:
    """Call `function` and end the process with its exit code, as Python ends a program."""
    code: object = 1
    try:
        function()
        code = 0
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def child(order: dict[str, Any]) -> None:
    """Carry out an order in a fork."""
    os.setpgid(0, 0)
    os.chdir(order["folder"])
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, 256)
    arm(order, "train")
    from src.tracking import shipping
    from tests.torture import sabotage

    def popen(command: list[str], *, stderr: Any, env: dict[str, str], **_: Any) -> Forked:
        assert command[-1] == "src.tracking.shipper", command
        return Forked(order, stderr, env)

    sabotage.replace(
        shipping,
        "subprocess",
        SimpleNamespace(
            Popen=popen, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired
        ),
    )
    if order["one_by_one"]:
        from src import fit

        sabotage.replace(fit, "Pace", OneByOne)
    sys.argv = [order["module"], *order["arguments"]]
    while time.monotonic() < order["at"]:
        time.sleep(0.0005)
    leave(lambda: runpy.run_module(order["module"], run_name="__main__", alter_sys=False))


class OneByOne:
    """Takes the place of `src.fit.Pace`: one update a call, so that passings can be counted."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def next(self, left: int) -> int:
        return 1

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def main() -> None:
    """Serve orders until the end."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphaned shippers come to us
    import_all()
    codes: dict[int, int] = {}
    living: set[int] = set()
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        order = json.loads(line)
        if "spawn" in order:
            pid = os.fork()
            if pid == 0:
                child(order["spawn"])
            living.add(pid)
            print(json.dumps({"pid": pid}), file=answers)
        elif "wait" in order:
            while order["wait"] not in codes:
                reaped, status = os.waitpid(-1, 0)
                codes[reaped] = os.waitstatus_to_exitcode(status)
                living.discard(reaped)
            print(json.dumps({"code": codes.pop(order["wait"])}), file=answers)
        else:
            break
    for pid in living:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()

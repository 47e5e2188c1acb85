"""The chief's side: it gathers the workers, tells them what to do, and notices when one is lost."""

import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from src.config import Config, flatten
from src.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError, WorkerLost
from src.identity import FREE
from src.workers.channel import Channel, Lost
from src.workers.cluster import Cluster

# Between a loss and the end of the process, should an operation of TensorFlow not come back.
LAST_RESORT_SECONDS = 20.0


class Workers:
    """The other workers of a `strategy=multiworker`, seen from the chief.

    Used in a `with` statement: at its end the workers are told to end too, with this process' code.

    Attributes:
        lost: why a worker counts as lost, None while all are there.
        on_loss: called with that reason, from another thread, as it happens.
        on_signal: called with the number of a signal that a worker got, from another thread.
    """

    def __init__(self, cluster: Cluster, config: Config) -> None:
        self._cluster = cluster
        self._config = config
        self._channels: dict[int, Channel] = {}
        self._answers: queue.Queue[tuple[int, str]] = queue.Queue()
        self._ended = threading.Event()
        self._noticed = threading.Event()
        self._losing = threading.Lock()
        self.lost: str | None = None
        self.on_loss: Callable[[str], None] = lambda reason: None
        self.on_signal: Callable[[int], None] = lambda number: None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        code: Any = 0
        if isinstance(error, SystemExit):
            code = error.code
        elif isinstance(error, KeyboardInterrupt):
            code = EXIT_INTERRUPTED
        elif kind is not None:
            code = EXIT_USER_ERROR if isinstance(error, UserError) else EXIT_FAILED
        self._end(code if isinstance(code, int) else EXIT_FAILED, str(error or ""))

    def gather(self, digest: str) -> None:
        """Wait until every worker has called, each with this configuration and this data.

        The chief listens where TensorFlow's server will: the connections outlive the listening.

        Args:
            digest: of the data set.

        Raises:
            UserError: one doesn't call in time, or was started with another command.
        """
        strategy, expected = self._config.strategy, set(range(1, len(self._cluster.addresses)))
        deadline = time.monotonic() + strategy.wait_seconds
        with self._listening() as listener:
            print(f"waits for {len(expected)} of {len(expected) + 1} workers", flush=True)
            while expected - self._channels.keys():
                listener.settimeout(max(deadline - time.monotonic(), 0.01))
                try:
                    connection, _ = listener.accept()
                except TimeoutError as error:
                    raise self._refused(self._absent(min(expected - self._channels.keys()))) from (
                        error
                    )
                self._admit(Channel(connection, strategy.timeout_seconds), expected, digest)
        for number, channel in self._channels.items():
            channel.send("start")
            threading.Thread(
                target=self._listen, args=(number, channel), name=f"worker {number}", daemon=True
            ).start()

    def tell(
        self, kind: str, arrays: Mapping[str, np.ndarray] | None = None, **fields: Any
    ) -> None:
        """Have every worker do what this process is about to do.

        Raises:
            WorkerLost: one is gone.
        """
        self.check()
        for number, channel in self._channels.items():
            try:
                channel.send(kind, arrays, **fields)
            except Lost as error:
                self._lose(number, str(error))
        self.check()

    def check(self, seconds: float = 0.0) -> None:
        """Wait for the news of a loss, for so many seconds at most.

        Raises:
            WorkerLost: one is gone.
        """
        deadline = time.monotonic() + seconds
        while self.lost is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.lost is not None:
            self._noticed.set()
            raise WorkerLost(self.lost)

    def ask(self, kind: str) -> dict[int, str]:
        """The answer of each worker to a question.

        Raises:
            WorkerLost: one is gone.
        """
        self.tell(kind)
        answers: dict[int, str] = {}
        while len(answers) < len(self._channels):
            try:
                number, answer = self._answers.get(timeout=0.1)
            except queue.Empty:
                self.check()
            else:
                answers[number] = answer
        return answers

    def _listening(self) -> socket.socket:
        try:
            return socket.create_server(self._cluster.chief, reuse_port=False)
        except OSError as error:
            raise UserError(
                f"TF_CONFIG: the first worker can't listen on {self._cluster.addresses[0]} "
                f"({(error.strerror or str(error)).lower()}); give an address of this machine and "
                "a port that is free"
            ) from error

    def _admit(self, channel: Channel, expected: set[int], digest: str) -> None:
        try:
            hello, _ = channel.receive()
        except Lost:
            channel.close()  # whatever called: a worker calls again
            return
        number = hello.get("number")
        if hello["kind"] != "hello" or number not in expected:
            channel.close()
            return
        if number in self._channels:
            problem = (
                f"TF_CONFIG: two processes call themselves worker {number}; give each its index"
            )
            channel.send("refused", error=problem)
            raise self._refused(problem)
        self._channels[number] = channel
        problem = self._difference(number, hello, digest)
        if problem:
            raise self._refused(problem)

    def _difference(self, number: int, hello: Mapping[str, Any], digest: str) -> str:
        own = json.loads(comparable(self._config))
        given = hello["config"]
        for key in sorted(own.keys() | given.keys()):
            if own.get(key) != given.get(key):
                return (
                    f"{key}: worker {number} was started with {given.get(key)}, the chief with "
                    f"{own.get(key)}; give all workers the same command"
                )
        if hello["digest"] != digest:
            return f"data: worker {number} has other data than the chief; give all the same files"
        return ""

    def _absent(self, number: int) -> str:
        strategy, address = self._config.strategy, self._cluster.addresses[number]
        return (
            f"strategy.wait_seconds={strategy.wait_seconds:g}: worker {number} at {address} did "
            "not call in that time; start it with the same command and its own TF_CONFIG"
        )

    def _refused(self, problem: str) -> UserError:
        for channel in self._channels.values():
            try:
                channel.send("refused", error=problem)
            except Lost:
                continue  # it is gone already
        self._ended.set()
        return UserError(problem)

    def _listen(self, number: int, channel: Channel) -> None:
        try:
            while True:
                fields, _ = channel.receive()
                if fields["kind"] == "answer":
                    self._answers.put((number, str(fields["answer"])))
                elif fields["kind"] == "signal":
                    self.on_signal(int(fields["number"]))
                elif fields["kind"] == "failed":
                    return self._lose(number, f"it failed: {fields['error']}")
        except Lost as error:
            self._lose(number, str(error))

    def _lose(self, number: int, reason: str) -> None:
        with self._losing:
            if self.lost is not None or self._ended.is_set():
                return
            self.lost = f"worker {number} at {self._cluster.addresses[number]} is lost: {reason}"
        threading.Thread(target=self._last_resort, name="last resort", daemon=True).start()
        self.on_loss(self.lost)

    def _last_resort(self) -> None:
        if not self._noticed.wait(LAST_RESORT_SECONDS):
            print(f"error: {self.lost}", file=sys.stderr, flush=True)
            os._exit(EXIT_FAILED)

    def _end(self, code: int, reason: str) -> None:
        self._noticed.set()
        self._ended.set()
        for channel in self._channels.values():
            try:
                channel.send("end", code=code, reason=reason)
            except Lost:
                continue  # the one that was lost


def comparable(config: Config) -> str:
    """What must be the same in all workers' configurations, as JSON of keys and values."""
    values = flatten(config.model_dump(by_alias=True))
    return json.dumps({key: value for key, value in values if not key.startswith(FREE)})

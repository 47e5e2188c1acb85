"""A worker's side: it calls the chief and then waits for what to do next."""

import json
import os
import queue
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

import numpy as np

from src.config import Config
from src.errors import EXIT_FAILED, EXIT_INTERRUPTED, UserError
from src.workers.channel import Channel, Lost
from src.workers.chief import comparable
from src.workers.cluster import Cluster

RETRY_SECONDS = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Order = tuple[dict[str, Any], dict[str, np.ndarray]]


class Chief:
    """The chief, seen from a worker.

    Once it is lost this process ends: it holds nothing that is not the chief's as well.

    Args:
        cluster: where the chief is.
        config: this worker's, which must be the chief's.
        digest: of the data set.

    Raises:
        UserError: no chief there in time, or one that was started with another command.
    """

    def __init__(self, cluster: Cluster, config: Config, digest: str) -> None:
        self._name = f"the chief at {cluster.addresses[0]}"
        self._orders: queue.Queue[Order] = queue.Queue()
        self._signalled = False
        self._channel = self._call(cluster, config)
        try:
            self._channel.send(
                "hello",
                number=cluster.number,
                config=json.loads(comparable(config)),
                digest=digest,
            )
            answer, _ = self._channel.receive()
        except Lost as error:
            raise UserError(f"TF_CONFIG: {self._name} does not answer: {error}") from error
        if answer["kind"] != "start":
            raise UserError(str(answer.get("error")))
        self._listener = threading.Thread(target=self._listen, name="chief", daemon=True)
        self._listener.start()

    def forward_signals(self) -> None:
        """Tell the chief of Ctrl-C and SIGTERM; it saves and ends the run for all.

        Called once TensorFlow's runtime has started: it puts a handler of its own in the way.
        """
        for number in SIGNALS:
            signal.signal(number, self._forward)

    def next(self) -> Order:
        """What to do next: its fields, with `kind`, and its arrays."""
        return self._orders.get()

    def answer(self, answer: str) -> None:
        """Answer the chief's question."""
        self._channel.send("answer", answer=answer)

    def failed(self, error: str) -> None:
        """Say why this worker can't go on."""
        self._channel.send("failed", error=error)

    def _call(self, cluster: Cluster, config: Config) -> Channel:
        strategy = config.strategy
        deadline = time.monotonic() + strategy.wait_seconds
        while True:
            try:
                connection = socket.create_connection(cluster.chief, timeout=5.0)
                # Until all workers have called, the chief is not expected to say anything.
                return Channel(connection, strategy.wait_seconds + strategy.timeout_seconds)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"strategy.wait_seconds={strategy.wait_seconds:g}: {self._name} was not "
                        f"there in that time ({(error.strerror or str(error)).lower()}); start it "
                        "with the same command and its own TF_CONFIG"
                    ) from error
            time.sleep(RETRY_SECONDS)

    def _listen(self) -> None:
        try:
            while True:
                order = self._channel.receive()
                ended, code = order[0]["kind"] == "end", order[0].get("code")
                if ended and code:
                    return _leave(f"the chief ended: {order[0]['reason']}", code)
                self._orders.put(order)
                if ended:
                    return None
        except Lost as error:
            _leave(f"{self._name} is lost: {error}", EXIT_FAILED)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        """The first signal is the chief's to act on; a second ends this process at once."""
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        self._channel.send("signal", number=number)


def _leave(reason: str, code: int) -> None:
    # The main thread may be inside an operation that waits for the chief for ever.
    if code < EXIT_INTERRUPTED:
        print(f"error: {reason}", file=sys.stderr, flush=True)
    os._exit(code)

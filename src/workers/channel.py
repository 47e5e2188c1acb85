"""Messages between the chief and a worker: a mapping in JSON and arrays in safetensors.

    4 bytes  length of the header        little-endian
    8 bytes  length of the arrays        little-endian
    header   {"kind": ..., ...}
    arrays   safetensors, where there are any

Nothing that is received runs code. Like TensorFlow's own traffic between workers it is neither
encrypted nor authenticated: it belongs on a network of one's own.
"""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

_LENGTHS = struct.Struct("<IQ")
LONGEST_HEADER = 1 << 24
BEAT = "beat"
BEAT_SECONDS = 1.0


class Lost(Exception):
    """The other side is gone, or silent for longer than it may be; the message says which."""


class Channel:
    """One connection; any thread may send, one receives.

    While it is open, a thread sends a sign of life every second, so that silence means that the
    other process is stopped or unreachable.

    Args:
        connection: connected.
        timeout: seconds of silence that are borne.
    """

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(timeout)
        self._timeout = timeout
        self._sending = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._beat, name="signs of life", daemon=True).start()

    def send(
        self, kind: str, arrays: Mapping[str, np.ndarray] | None = None, **fields: Any
    ) -> None:
        """Send a message.

        Raises:
            Lost: the other side is gone.
        """
        header = json.dumps({"kind": kind, **fields}).encode()
        whole = {name: np.asarray(array, order="C") for name, array in (arrays or {}).items()}
        body = safetensors.numpy.save(whole) if whole else b""
        try:
            with self._sending:
                self._socket.sendall(_LENGTHS.pack(len(header), len(body)) + header + body)
        except OSError as error:
            raise Lost(error.strerror or str(error)) from error

    def receive(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The next message that is no sign of life: its fields, with `kind`, and its arrays.

        Raises:
            Lost: the other side is gone, silent, or doesn't speak this language.
        """
        while True:
            head, body = _LENGTHS.unpack(self._read(_LENGTHS.size))
            if head > LONGEST_HEADER:
                raise Lost("it is no worker of this program")
            try:
                fields = json.loads(self._read(head))
                arrays = safetensors.numpy.load(self._read(body)) if body else {}
                if fields["kind"] != BEAT:
                    return fields, arrays
            except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
                raise Lost("it is no worker of this program") from error

    def close(self) -> None:
        """Say no more."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self, count: int) -> bytes:
        content = bytearray()
        while len(content) < count:
            try:
                part = self._socket.recv(min(count - len(content), 1 << 20))
            except TimeoutError as error:
                raise Lost(f"it was silent for {self._timeout:g} s") from error
            except OSError as error:
                raise Lost(error.strerror or str(error)) from error
            if not part:
                raise Lost("it closed the connection")
            content += part
        return bytes(content)

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            try:
                self.send(BEAT)
            except Lost:
                return  # who receives is told

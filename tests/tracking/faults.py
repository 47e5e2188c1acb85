"""A proxy before a tracking server that fails in chosen ways, and counts what it was asked."""

import http.client
import socket
import threading
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class FaultyProxy:
    """Forwards to `target` except where `fault(path)` names one of these:

    "500", "503", "401": answered so, not forwarded. "hang": never answered. "cut": forwarded, but
    the connection is cut before the answer. "half": half the answer, then cut.
    """

    def __init__(self, target: str, fault: Any = lambda path: None) -> None:
        self.fault = fault
        self.seen: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.stopped = threading.Event()
        host = urllib.parse.urlsplit(target).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                path = urllib.parse.urlsplit(self.path).path
                proxy.seen[path] += 1
                fault = proxy.fault(path)
                if fault:
                    proxy.faults[path] += 1
                if fault in ("500", "503", "401"):
                    self._answer(int(fault), "text/plain", b"fault")
                elif fault == "hang":
                    proxy.stopped.wait(60)
                    self._cut()
                else:
                    status, kind, answer = self._forward(body)
                    if fault != "cut":
                        self._answer(status, kind, answer, half=fault == "half")
                    if fault in ("cut", "half"):
                        self._cut()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def _answer(self, status: int, kind: str, body: bytes, half: bool = False) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if half else body)

            def _forward(self, body: bytes) -> tuple[int, str, bytes]:
                connection = http.client.HTTPConnection(host, timeout=60)
                try:
                    headers = {
                        key: value
                        for key, value in self.headers.items()
                        if key.lower() not in ("host", "connection", "accept-encoding")
                    }
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    return answer.status, answer.headers["Content-Type"] or "", answer.read()
                finally:
                    connection.close()

            def _cut(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def once_each(fault: str) -> Any:
    """A fault for the first request of every path."""
    done: set[str] = set()

    def choose(path: str) -> str | None:
        if path in done:
            return None
        done.add(path)
        return fault

    return choose

"""A proxy on loopback between a program and its server: records what passes, and loses answers when told to."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

_ID = re.compile(r"/(?:[cowa][0-9a-z]{26}|[0-9a-f]{64})(?=/|$)")


@dataclass(frozen=True, slots=True)
class Passed:
    """One request as it went over the wire."""

    raw: bytes

    @property
    def method(self) -> str:
        return self.raw.split(b" ", 1)[0].decode()

    @property
    def path(self) -> str:
        return self.raw.split(b" ", 2)[1].decode().partition("?")[0]

    @property
    def route(self) -> str:
        """Return method and path with ids left out, as a name of what was asked."""
        return f"{self.method} {_ID.sub('/*', self.path)}"

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]


class HttpProxy:
    """Forwards connections to `target` (host, port) and keeps all requests and all answered bytes."""

    def __init__(self, target: tuple[str, int], port: int = 0) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", port))
        self._lock = threading.Lock()
        self._lose: list[str] = []
        self._closed = False
        self.lost: list[str] = []
        self.requests: list[Passed] = []
        self.answered = bytearray()

    @property
    def target(self) -> tuple[str, int]:
        """Where requests go."""
        return self._target

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def lose_answer_to(self, route: str) -> None:
        """Let the next request of this route reach the server, and its answer nobody."""
        with self._lock:
            self._lose.append(route)

    def serve(self) -> None:
        """Take connections until closed."""
        with self._server:
            while not self._closed:
                try:
                    client, _ = self._server.accept()
                except OSError:
                    return
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _carry(self, client: socket.socket) -> None:
        losing = threading.Event()
        with client, contextlib.suppress(OSError):
            backend = socket.create_connection(self._target, timeout=5)
            backend.settimeout(None)
            with backend:
                back = threading.Thread(
                    target=self._bring_back, args=(client, backend, losing), daemon=True
                )
                back.start()
                for request in _requests(client):
                    if self._note(request):
                        losing.set()
                    backend.sendall(request.raw)
                with contextlib.suppress(OSError):
                    backend.shutdown(socket.SHUT_WR)
                back.join()

    def _bring_back(
        self, client: socket.socket, backend: socket.socket, losing: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := backend.recv(65_536):
                if losing.is_set():
                    break
                with self._lock:
                    self.answered += chunk
                client.sendall(chunk)
        for end in (client, backend):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _note(self, request: Passed) -> bool:
        with self._lock:
            self.requests.append(request)
            if request.route not in self._lose:
                return False
            self._lose.remove(request.route)
            self.lost.append(request.route)
            return True


def _requests(client: socket.socket) -> Iterator[Passed]:
    """Cut what a client sends into requests; bodies have a Content-Length, as our client's do."""
    buffer = b""
    while True:
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if not (chunk := client.recv(65_536)):
                return
            buffer += chunk
        found = re.search(rb"\r\ncontent-length: *(\d+)", buffer[: end + 2], re.IGNORECASE)
        size = end + 4 + (int(found[1]) if found else 0)
        while len(buffer) < size:
            if not (chunk := client.recv(65_536)):
                return
            buffer += chunk
        yield Passed(buffer[:size])
        buffer = buffer[size:]


@contextlib.contextmanager
def http_proxy(target: tuple[str, int], port: int = 0) -> Iterator[HttpProxy]:
    """Run a proxy for the block."""
    proxy = HttpProxy(target, port)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)

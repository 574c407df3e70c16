"""A proxy before a Unix socket that swallows answers: the call was done, and nobody hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class UnixProxy:
    """Passes bytes both ways, one connection a thread, until it is told to lose an answer."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._target = target.removeprefix("unix://")
        self._lock = threading.Lock()
        self._lose: list[bytes] = []
        self._drop: list[bytes] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._done = False

    def lose_answer_to(self, request_line_part: str) -> None:
        """Let the next request whose bytes hold this text be done, and cut its answer off."""
        with self._lock:
            self._lose.append(request_line_part.encode())

    def drop_request(self, request_line_part: str) -> None:
        """Cut the connection at the next request with this text; it never arrives."""
        with self._lock:
            self._drop.append(request_line_part.encode())

    def serve(self) -> None:
        while not self._done:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._done = True
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as backend, suppress(OSError):
            backend.connect(self._target)
            lost = threading.Event()
            up = threading.Thread(target=self._upwards, args=(client, backend, lost), daemon=True)
            up.start()
            while chunk := backend.recv(65_536):
                if lost.is_set():  # the first bytes of the answer: it is done by now
                    client.shutdown(socket.SHUT_RDWR)
                    break
                client.sendall(chunk)
            client.shutdown(socket.SHUT_RDWR)  # wakes the other thread; a mere close would not

    def _upwards(
        self, client: socket.socket, backend: socket.socket, lost: threading.Event
    ) -> None:
        with suppress(OSError):
            while chunk := client.recv(65_536):
                if self._is_meant(self._drop, chunk):
                    client.shutdown(socket.SHUT_RDWR)
                    break
                if self._is_meant(self._lose, chunk):
                    lost.set()
                backend.sendall(chunk)
            backend.shutdown(socket.SHUT_WR)

    def _is_meant(self, parts: list[bytes], chunk: bytes) -> bool:
        line = chunk.split(b"\r\n", 1)[0]
        if not line.endswith(b" HTTP/1.1"):  # the middle of a body
            return False
        with self._lock:
            found = next((part for part in parts if part in line), None)
            if found is not None:
                parts.remove(found)
        return found is not None


@contextmanager
def unix_proxy(path: Path, target: str) -> Iterator[UnixProxy]:
    """Run a proxy at `path` before the socket at `target`."""
    proxy = UnixProxy(path, target)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)

"""The server's process around its application: the listening socket, signals, and telling that it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from litestar.types import ASGIApp

from decent_cloud.kernel.errors import Invalid

STOP_WITHIN_S = 10


class Program(uvicorn.Server):
    """uvicorn that ends event streams as the signal comes, tells when it is ready, and ends with status 0."""

    def __init__(
        self, app: ASGIApp, stopping: Callable[[], None], ready: Callable[[], None]
    ) -> None:
        """`stopping` runs in the loop at the first signal; `ready` once the server answers."""
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,  # the gate tells the time, by the clock that judges signatures
                timeout_graceful_shutdown=STOP_WITHIN_S,
                ws="none",
            )
        )
        self._stopping = stopping
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: object) -> None:
        """Begin to stop: uvicorn waits for open responses before anything else, so streams must end first."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping)
        super().handle_exit(sig, frame)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals while serving; one that was obeyed is not raised again."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def listen_on(host: str, port: int) -> socket.socket:
    """Bind before anything else, so that a taken port changes nothing. Errors: Invalid."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio leaves Nagle's algorithm on: 40 ms on every answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise Invalid(
            f"cannot listen on {host}:{port}: {reason.lower()}", field="listen"
        ) from error
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def origin_of(listener: socket.socket) -> str:
    """Return the origin under which a listening socket is called."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(origin: str, ready_file: Path | None, ready_fd: int | None) -> None:
    """Print where the server answers, and tell whoever started it."""
    line = f"listening on {origin}\n"
    print(line, end="", flush=True)
    if ready_file is not None:
        # Whoever waits for the file must find the whole line in it.
        part = ready_file.with_name(f"{ready_file.name}.{secrets.token_hex(4)}")
        part.write_text(line)
        part.replace(ready_file)
    if ready_fd is not None:
        os.write(ready_fd, line.encode())
        os.close(ready_fd)

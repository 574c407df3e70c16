"""A whole platform for tests: the real server in a thread on loopback, with a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvicorn

from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.programs.server import Ports, Server, build, grant_admin
from decent_cloud.programs.server_process import listen_on, origin_of
from decent_cloud.programs.server_settings import ServerSettings

T = TypeVar("T")

# Tests that fail show what was asked of the server, not a page of local variables.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
)


@dataclass(frozen=True, slots=True)
class Platform:
    """A running server; `write` and `read` reach its database past the API."""

    url: str
    server: Server
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 30) -> T:
        """Run a coroutine on the server's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.run(self.server.db.write(fn))

    def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.run(self.server.db.read(fn))

    def grant_admin(self, account: str) -> None:
        """Do what `decent admin grant` does on the server's host."""
        grant_admin(self.server.settings, account)


@contextlib.contextmanager
def running_platform(
    folder: Path, ports: Ports | None = None, settings: ServerSettings | None = None
) -> Iterator[Platform]:
    """Serve from `folder` on a random port until the block ends."""
    chosen = settings or ServerSettings(data=str(folder), listen="127.0.0.1:0")
    listener = listen_on(*chosen.address)
    started: list[Platform] = []
    failed: list[BaseException] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        server = build(chosen, ports)
        server.bound(listener)
        config = uvicorn.Config(
            server.app,
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            ws="none",
        )
        program = uvicorn.Server(config)
        async with server.running():
            serving = asyncio.create_task(program.serve(sockets=[listener]))
            while not program.started and not serving.done():  # noqa: ASYNC110 - uvicorn has a flag only
                await asyncio.sleep(0.002)
            url = origin_of(listener)
            started.append(Platform(url, server, asyncio.get_running_loop()))
            ready.set()
            await asyncio.to_thread(stop.wait)
            server.close_streams()
            program.should_exit = True
            await serving

    def thread() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    running = threading.Thread(target=thread, name="platform")
    running.start()
    ready.wait(30)
    try:
        if failed:
            raise failed[0]
        yield started[0]
    finally:
        stop.set()
        running.join(30)
        listener.close()
    if failed:
        raise failed[0]

"""The platform's server: builds every part from settings and ports, and runs it until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import structlog
from litestar.types import ASGIApp

from decent_cloud.adapters.processors.sandbox.processor import SandboxProcessor
from decent_cloud.adapters.reach.guard import AddressGuard, Listener
from decent_cloud.adapters.reach.ssh import SshReach
from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app import accounts
from decent_cloud.app.platform import ensure_stamp
from decent_cloud.app.ports.price_sources import Source
from decent_cloud.app.ports.processors import Processor
from decent_cloud.app.ports.reach import Reach
from decent_cloud.app.ports.unit_of_work import Database
from decent_cloud.http.application import application, describe
from decent_cloud.http.documents import Documents
from decent_cloud.http.edge import Edge, Limits, Origins
from decent_cloud.http.limits import Buckets
from decent_cloud.http.metrics import Metrics
from decent_cloud.http.streams import Hub
from decent_cloud.jobs.runner import Runner
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.ids import AccountId, Ids, RandomIds
from decent_cloud.kernel.status import ServerMode
from decent_cloud.programs import logging, server_jobs, server_prices, surroundings
from decent_cloud.programs.server_keys import ServerKeys, load_keys
from decent_cloud.programs.server_process import (
    STOP_WITHIN_S,
    Program,
    announce,
    listen_on,
    origin_of,
)
from decent_cloud.programs.server_settings import ServerSettings, host_and_port, networks

_log = structlog.get_logger(__name__)

SANDBOX_FILE = "sandbox-processor.db"


@dataclass(frozen=True, slots=True)
class Ports:
    """What tests, benchmarks and kill launchers put in the place of the real outside; None means the real one."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    db: Database | None = None
    reach: Reach | None = None
    processors: tuple[Processor, ...] | None = None
    price_sources: tuple[Source, ...] | None = None
    on_step: Callable[[str], None] = lambda _step: None


class Server:
    """One platform process: its ASGI application, its database, its jobs and its streams."""

    def __init__(
        self,
        settings: ServerSettings,
        edge: Edge,
        processors: tuple[Processor, ...],
        runner: Runner,
        listeners: list[Listener],
        price_sources: tuple[Source, ...] = (),
    ) -> None:
        self.settings = settings
        self.edge = edge
        self.app: ASGIApp = application(edge)
        self.db = edge.db
        self.runner = runner
        self._processors = processors
        self._price_sources = price_sources
        self.listeners = listeners
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def origins(self) -> Origins:
        """The origins that signed requests may name."""
        return self.edge.origins

    def bound(self, listener: socket.socket) -> None:
        """Tell where the server listens: its origin if none is configured, and never a target of its own checks."""
        self.listeners.append(Listener(*listener.getsockname()[:2]))
        if not self.settings.public_origins:
            self.origins.add(origin_of(listener))

    async def start(self) -> None:
        """Check that the database is ours, then start jobs and streams. Errors: WrongMode, WrongPlatform."""
        mode, platform_id = self.settings.mode, self.edge.platform_key.platform_id
        await self.db.write(lambda uow: ensure_stamp(uow, mode, platform_id))
        await self.edge.hub.start()
        self._tasks = [
            asyncio.create_task(self.edge.hub.run(), name="stream hub"),
            asyncio.create_task(self.runner.run(), name="jobs"),
        ]
        for task in self._tasks:
            task.add_done_callback(_note_end)

    def close_streams(self) -> None:
        """End all event streams, so that their clients go elsewhere before the server waits for them."""
        self.edge.hub.close()

    async def stop(self) -> None:
        """Stop jobs and streams, finish running units, release everything."""
        self.close_streams()
        await self.runner.stop(STOP_WITHIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for processor in self._processors:
            await processor.close()
        for source in self._price_sources:
            await source.close()
        await self.db.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        """Start, and stop at the end, for tests that call the application in-process."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()


def build(settings: ServerSettings, ports: Ports | None = None) -> Server:
    """Build a server: opens (and migrates) the database, makes the keys of a new data folder.

    Errors: Invalid for settings or key files that cannot be used, TryLater if the database is not there.
    """
    ports = ports or Ports()
    keys = load_keys(Path(settings.data))
    db = ports.db or _database(settings, keys)
    processors = _processors(settings, ports)
    metrics = Metrics()
    edge = Edge(
        db=db,
        clock=ports.clock,
        ids=ports.ids,
        mode=settings.mode,
        platform_key=keys.platform,
        hash_key=hashlib.sha256(b"dcx/answers/v1\0" + keys.master).digest(),
        version=version("decent-cloud"),
        processors=tuple(processor.name for processor in processors),
        fee_ppm=settings.platform_fee_ppm,
        origins=Origins(settings.public_origins),
        limits=Limits(
            address=Buckets("address", settings.requests_per_minute_address),
            identity=Buckets("identity", settings.requests_per_minute_identity),
            joining=Buckets("unsigned-writes", settings.unsigned_writes_per_minute_address),
        ),
        hub=Hub(
            db,
            metrics,
            heartbeat_s=settings.stream_heartbeat_s,
            per_identity=settings.streams_per_identity,
        ),
        documents=Documents(lambda: describe(version("decent-cloud"))),
        metrics=metrics,
        proxies=networks(settings.proxies, "proxies"),
        metrics_token=settings.metrics_token,
    )
    listeners: list[Listener] = []
    sources = _price_sources(settings, ports, listeners)
    runner = Runner(
        db,
        ports.clock,
        server_jobs.handlers(
            {processor.name: processor for processor in processors},
            _reach(settings, ports, listeners),
        )
        + server_jobs.observing(sources, 100 * settings.pool_floor_usd),
        server_jobs.crons(observe=bool(sources)),
        owner=f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}",
        on_step=ports.on_step,
    )
    return Server(settings, edge, processors, runner, listeners, sources)


def run(
    settings: ServerSettings,
    *,
    ready_file: Path | None = None,
    ready_fd: int | None = None,
    ports: Ports | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; prints `listening on URL` (also to `ready_file` or `ready_fd`) once it answers."""
    surroundings.name_user()
    logging.configure(settings.log_format, settings.log_level)
    listener = listen_on(*settings.address)
    try:
        server = build(settings, ports)
        server.bound(listener)
        origin = server.origins.known[0]
        program = Program(
            server.app, server.close_streams, lambda: announce(origin, ready_file, ready_fd)
        )
        with asyncio.Runner(loop_factory=program.config.get_loop_factory()) as runner:
            runner.run(_serve(program, server, listener))
    finally:
        listener.close()


def grant_admin(settings: ServerSettings, account_hex: str, *, admin: bool = True) -> None:
    """Make an account the operator's (or no longer); needs the server's data folder, not its API.

    Errors: NotFound; Invalid if the folder holds no platform.
    """
    keys = load_keys(Path(settings.data), new=False)

    async def grant() -> None:
        db = _database(settings, keys)
        try:
            account = AccountId(account_hex)
            await db.write(lambda uow: accounts.grant_admin(uow, account, admin=admin))
        finally:
            await db.close()

    asyncio.run(grant())


def _note_end(task: asyncio.Task[None]) -> None:
    """Say so when a part that must run for ever ends by itself; `/readyz` then fails by its missing tick."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the server died", part=task.get_name(), exc_info=error)


async def _serve(program: Program, server: Server, listener: socket.socket) -> None:
    try:
        await server.start()
        await program.serve(sockets=[listener])
    finally:
        await server.stop()


def _database(settings: ServerSettings, keys: ServerKeys) -> Database:
    migrate(settings.database_url)
    return connect(settings.database_url, keys.master)


def _processors(settings: ServerSettings, ports: Ports) -> tuple[Processor, ...]:
    if ports.processors is not None:
        return ports.processors
    if settings.mode is not ServerMode.DEVELOPMENT:
        return ()
    world = Path(settings.data) / SANDBOX_FILE
    return (SandboxProcessor(world, settings.mode, ports.clock),)


def _guard(settings: ServerSettings, listeners: list[Listener]) -> AddressGuard:
    return AddressGuard(
        allowed=networks(settings.outbound_ranges, "outbound_ranges"),
        loopback=settings.mode is ServerMode.DEVELOPMENT,
        own=lambda: tuple(listeners),
    )


def _price_sources(
    settings: ServerSettings, ports: Ports, listeners: list[Listener]
) -> tuple[Source, ...]:
    if ports.price_sources is not None:
        return ports.price_sources
    return server_prices.sources(settings, _guard(settings, listeners), ports.clock)


def _reach(settings: ServerSettings, ports: Ports, listeners: list[Listener]) -> Reach:
    if ports.reach is not None:
        return ports.reach
    guard = _guard(settings, listeners)
    anchors = tuple(host_and_port(text, "reach_anchors") for text in settings.reach_anchors)
    return SshReach(guard, settings.reach_deadline_s, anchors)

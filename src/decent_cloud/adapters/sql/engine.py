"""The database that runs units of work, on SQLite or PostgreSQL, and how one is opened."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import make_url

from decent_cloud.adapters.sql.personal import KEY_BYTES
from decent_cloud.adapters.sql.postgres import CONNECTIONS, PostgresEngine
from decent_cloud.adapters.sql.schema import assert_schema, migrate
from decent_cloud.adapters.sql.session import Dialect
from decent_cloud.adapters.sql.sqlite import SqliteEngine
from decent_cloud.adapters.sql.wakes import Waiting, WakeListener, Wakes
from decent_cloud.app.ports.unit_of_work import Topic, UnitOfWork
from decent_cloud.kernel.errors import Invalid, StaleVersion, TryLater

__all__ = ["SqlDatabase", "connect", "migrate"]

T = TypeVar("T")

STALE_RERUNS = 5


class Engine(Protocol):
    """Runs units in threads and settles their futures after the commit."""

    def write(self, waiting: Waiting) -> None:
        """Queue a writing unit."""
        ...

    def read(self, waiting: Waiting) -> None:
        """Queue a reading unit."""
        ...

    def close(self) -> None:
        """Finish what is queued, then close; blocks."""
        ...


class SqlDatabase:
    """Keeps the port `Database`; may be used from several event loops."""

    def __init__(self, engine: Engine, wakes: Wakes) -> None:
        self._engine = engine
        self._wakes = wakes
        self._closed = False

    async def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn` in a transaction; after StaleVersion run it again a few times, on what is there by then.

        A rerun locks what it reads, so that many writers of one record queue up instead of racing again.
        """
        for rerun in range(STALE_RERUNS):
            try:
                return await self._submitted(self._engine.write, fn, firm=rerun > 0)
            except StaleVersion:
                await asyncio.sleep(random.uniform(0, 0.001) * 2**rerun)  # noqa: S311 - spreads retries
        return await self._submitted(self._engine.write, fn, firm=True)

    async def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Run `fn` on one consistent snapshot."""
        return await self._submitted(self._engine.read, fn)

    def listen(self, topic: Topic) -> WakeListener:
        """Return a listener that wakes after commits of this process."""
        return self._wakes.listen(topic)

    async def close(self) -> None:
        """Finish running units and release connections."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._engine.close)

    async def _submitted(
        self,
        submit: Callable[[Waiting], None],
        fn: Callable[[UnitOfWork], T],
        *,
        firm: bool = False,
    ) -> T:
        if self._closed:
            raise TryLater("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        submit(Waiting(fn, loop, future, firm))
        return await future


def connect(url: str, master_key: bytes, *, connections: int = CONNECTIONS) -> SqlDatabase:
    """Open a migrated database: `sqlite:////absolute/path` or `postgresql://...`.

    `master_key` (32 bytes) wraps the data keys of personal fields; `connections` bounds writers on PostgreSQL.
    Errors: WrongSchema if tables or guards are missing, TryLater if the database cannot be reached.
    """
    if len(master_key) != KEY_BYTES:
        raise Invalid(f"the master key has {KEY_BYTES} bytes", field="master_key")
    assert_schema(url)
    wakes = Wakes()
    address = make_url(url)
    if address.get_backend_name() == Dialect.SQLITE.value:
        return SqlDatabase(SqliteEngine(address.database or "", master_key, wakes), wakes)
    libpq = address.set(drivername="postgresql").render_as_string(hide_password=False)
    return SqlDatabase(PostgresEngine(libpq, master_key, wakes, connections), wakes)

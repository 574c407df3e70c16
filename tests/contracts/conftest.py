"""One body a port, run on dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.adapters.sql.tables import metadata
from decent_cloud.app.ports.unit_of_work import Database, UnitOfWork
from tests.support.postgres import PostgresServer

T = TypeVar("T")

MASTER_KEY = bytes(range(32))
KINDS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
SQL_KINDS = KINDS[1:]


class Held:
    """A database with a loop of its own, so that tests stay plain functions."""

    def __init__(self, kind: str, url: str, database: Callable[[], Database]) -> None:
        self.kind = kind
        self.url = url
        self._loop = asyncio.Runner()
        self.database = database()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(asyncio.wait_for(coroutine, 60))

    def write(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.run(self.database.write(fn))

    def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        return self.run(self.database.read(fn))

    def close(self) -> None:
        self.run(self.database.close())
        self._loop.close()


def sqlite_url(folder: Path) -> str:
    url = f"sqlite:///{folder}/decent.db"
    migrate(url)
    return url


def opened(request: pytest.FixtureRequest, folder: Path) -> Held:
    kind = str(request.param)
    if kind == "memory":
        return Held(kind, "", MemoryDatabase)
    if kind == "sqlite":
        url = sqlite_url(folder)
    else:
        url = request.getfixturevalue("shared_postgres")
        empty(url)
    return Held(kind, url, lambda: connect(url, MASTER_KEY))


def empty(url: str) -> None:
    """Empty every table; the guard of what is booked is lifted for that, as only the owner of the tables can."""
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    with psycopg.connect(url) as server:
        server.execute("ALTER TABLE transfers DISABLE TRIGGER USER")
        server.execute(f"TRUNCATE {tables}".encode())
        server.execute("ALTER TABLE transfers ENABLE TRIGGER USER")


@pytest.fixture(scope="session")
def shared_postgres(postgres_server: PostgresServer) -> str:
    """Give one migrated database for all tests that empty it first: making one takes far longer."""
    url = postgres_server.fresh_database()
    migrate(url)
    return url


@pytest.fixture(params=KINDS)
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    """Give a fresh database of each kind."""
    database = opened(request, tmp_path)
    yield database
    database.close()


@pytest.fixture(params=SQL_KINDS)
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    """Give a fresh database of each kind that outlives a process."""
    database = opened(request, tmp_path)
    yield database
    database.close()

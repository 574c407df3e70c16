"""How fast groups are booked, against the same rows written in plain SQL with the drivers alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import psycopg

from bench.figures import Figure, ratio_at_least
from decent_cloud.adapters.sql.engine import SqlDatabase, connect, migrate
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.ledger.transfers import LedgerAccount, Side, Transfer
from decent_cloud.kernel.ids import TransferId
from decent_cloud.kernel.money import Asset
from tests.support.postgres import running_postgres

MASTER_KEY = bytes(32)
ROUNDS = 3
SQLITE_GROUPS = 3_000
SQLITE_CALLERS = 64
POSTGRES_GROUPS = 2_000
POSTGRES_CALLERS = 8
ACCOUNTS = 40
# A little below 1: the port adds names, retries and events to what the drivers alone do.
BOUND = 0.8

Row = tuple[str, str, str, str]  # transfer, debit, credit, stream

_TRANSFER = (
    "INSERT INTO transfers (id, debit, credit, asset, amount_minor, kind, reference, booked_at_ms,"
    " occurred_at_ms) VALUES ({0}, {0}, {0}, 'USD', 5, 'order', {0}, 1, 1)"
)
_BALANCE = (
    "UPDATE balances SET balance_minor = balance_minor + 5 WHERE account = {0} AND asset = 'USD'"
)
_OPEN = "INSERT INTO balances (account, owner, asset, side, floored, balance_minor) VALUES ({0}, {0}, 'USD', {0}, 0, 0)"
_OUTBOX = (
    "INSERT INTO outbox (stream, kind, subject, data, at_ms) VALUES ({0}, 'booked', {0}, {0}, 1)"
)
_OUTBOX_NUMBERED = (
    "INSERT INTO outbox (seq, stream, kind, subject, data, at_ms)"
    " VALUES ({0}, {0}, 'booked', {0}, {0}, 1)"
)


def run() -> list[Figure]:
    """Measure both engines, each beside its own baseline, in turns."""
    return [_sqlite(), _postgres()]


def rows(label: str, count: int) -> Iterator[Row]:
    """Give the groups to book: one transfer between two of some accounts, and the stream of its event."""
    for n in range(count):
        debit, credit = f"processor/{n % ACCOUNTS}", f"held/{n * 7 % ACCOUNTS}"
        yield f"{label} {n}", debit, credit, f"account/{n % 9}"


def booking(row: Row) -> Callable[[UnitOfWork], None]:
    """Return the unit that books a group: 1 transfer, 2 balances, 1 outbox row."""
    id_, debit, credit, stream = row
    transfer = Transfer(
        TransferId(id_),
        LedgerAccount(debit, Asset.USD, Side.DEBIT, floored=False),
        LedgerAccount(credit, Asset.USD, Side.CREDIT, floored=False),
        5,
        "order",
        id_,
        1,
        1,
    )
    event = Event(stream, "booked", id_, {"amount_minor": "5"}, 1)

    def fn(uow: UnitOfWork) -> None:
        uow.ledger.post((transfer,))
        uow.outbox.append(event)

    return fn


def groups_a_second(database: SqlDatabase, callers: int, groups: list[Row]) -> float:
    """Book groups through the port with so many callers at once."""

    async def book() -> float:
        todo = iter(groups)

        async def caller() -> None:
            for row in todo:
                await database.write(booking(row))

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return len(groups) / (time.perf_counter() - begun)

    return asyncio.run(book())


def open_accounts(execute: Callable[[str, tuple[str, ...]], object], mark: str) -> None:
    """Make every account's row before anything is measured."""
    for n in range(ACCOUNTS):
        execute(_OPEN.format(mark), (f"processor/{n}", str(n), "debit"))
        execute(_OPEN.format(mark), (f"held/{n}", str(n), "credit"))


def _sqlite() -> Figure:
    ours, plain = [], []
    # On the work tree's disk: a temporary folder may be memory, where a durable commit costs nothing.
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        url = f"sqlite:///{Path(folder).resolve()}/decent.db"
        migrate(url)
        with closing(_plain_sqlite(url)) as connection:
            open_accounts(connection.execute, "?")
            database = connect(url, MASTER_KEY)
            for turn in range(ROUNDS):
                plain.append(_plainly(connection, list(rows(f"plain {turn}", SQLITE_GROUPS))))
                groups = list(rows(f"ours {turn}", SQLITE_GROUPS))
                ours.append(groups_a_second(database, SQLITE_CALLERS, groups))
            asyncio.run(database.close())
    return _figure(
        "ledger_sqlite_per_s",
        ours,
        plain,
        f"sqlite3 alone, one durable commit a group, one after another; ours with {SQLITE_CALLERS} callers",
    )


def _plain_sqlite(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _plainly(connection: sqlite3.Connection, groups: list[Row]) -> float:
    execute = connection.cursor().execute
    statements = [text.format("?") for text in (_TRANSFER, _BALANCE, _OUTBOX)]
    begun = time.perf_counter()
    for id_, debit, credit, stream in groups:
        execute("BEGIN IMMEDIATE")
        execute(statements[0], (id_, debit, credit, id_))
        execute(statements[1], (debit,))
        execute(statements[1], (credit,))
        execute(statements[2], (stream, id_, json.dumps({"amount_minor": "5"})))
        execute("COMMIT")
    return len(groups) / (time.perf_counter() - begun)


def _postgres() -> Figure:
    ours, plain = [], []
    with running_postgres(fsync=True) as server:
        migrate(server.url)
        with psycopg.connect(server.url, autocommit=True) as connection:
            open_accounts(lambda sql, values: connection.execute(sql.encode(), values), "%s")
        database = connect(server.url, MASTER_KEY, connections=POSTGRES_CALLERS)
        for turn in range(ROUNDS):
            groups = list(rows(f"plain {turn}", POSTGRES_GROUPS))
            plain.append(_plainly_on_postgres(server.url, groups, turn))
            groups = list(rows(f"ours {turn}", POSTGRES_GROUPS))
            ours.append(groups_a_second(database, POSTGRES_CALLERS * 2, groups))
        asyncio.run(database.close())
    return _figure(
        "ledger_postgres_per_s",
        ours,
        plain,
        f"psycopg alone, four statements a group, {POSTGRES_CALLERS} threads with a connection each",
    )


def _plainly_on_postgres(url: str, groups: list[Row], turn: int) -> float:
    ready = threading.Barrier(POSTGRES_CALLERS + 1)
    statements = [text.format("%s").encode() for text in (_TRANSFER, _BALANCE, _OUTBOX_NUMBERED)]

    def work(first: int) -> None:
        with psycopg.connect(url) as connection:
            ready.wait()
            for n in range(first, len(groups), POSTGRES_CALLERS):
                id_, debit, credit, stream = groups[n]
                connection.execute(statements[0], (id_, debit, credit, id_))
                # In one order, or crossing groups deadlock; "held/..." sorts first.
                connection.execute(statements[1], (credit,))
                connection.execute(statements[1], (debit,))
                seq = -(turn * len(groups) + n + 1)
                data = json.dumps({"amount_minor": "5"})
                connection.execute(statements[2], (seq, stream, id_, data))
                connection.commit()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(POSTGRES_CALLERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return len(groups) / (time.perf_counter() - begun)


def _figure(name: str, ours: list[float], plain: list[float], baseline: str) -> Figure:
    return ratio_at_least(name, median(ours), "groups/s", (baseline, median(plain)), BOUND)

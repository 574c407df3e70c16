"""What only PostgreSQL can get wrong: commits out of order, connections cut, deadlocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.app.ports.unit_of_work import Topic, UnitOfWork
from decent_cloud.domain.identity.providers import PoolLogEntry
from tests.contracts.conftest import MASTER_KEY, Held
from tests.contracts.samples import POOL, cash, contract, event, pool, step, transfer
from tests.contracts.samples import held as held_by

pytestmark = pytest.mark.postgres


@pytest.fixture
def held(postgres_database: Callable[..., str]) -> Iterator[Held]:
    url = postgres_database("migrated", migrate)
    database = Held("postgres", url, lambda: connect(url, MASTER_KEY))
    yield database
    database.close()


def test_an_event_that_commits_late_is_never_passed_by(held: Held) -> None:
    appended, go_on = threading.Event(), threading.Event()

    def slow(uow: UnitOfWork) -> None:
        uow.outbox.append(event(kind="slow"))
        appended.set()
        assert go_on.wait(20)

    async def scene() -> list[str]:
        listener = held.database.listen(Topic.OUTBOX)
        late = asyncio.create_task(held.database.write(slow))
        await asyncio.to_thread(appended.wait, 20)
        await held.database.write(lambda uow: uow.outbox.append(event(kind="quick")))
        assert await listener.wait(1)
        early = await held.database.read(lambda uow: uow.outbox.read(0, 9))
        assert await held.database.read(lambda uow: uow.outbox.last_seq()) == 0
        go_on.set()
        await late
        assert await listener.wait(1)
        rest = await held.database.read(lambda uow: uow.outbox.read(0, 9))
        return [row.kind for row in (*early, *rest)]

    assert held.run(scene()) == ["slow", "quick"]


def test_readers_are_woken_by_the_end_of_what_held_events_back(held: Held) -> None:
    began, go_on = threading.Event(), threading.Event()

    def silent(uow: UnitOfWork) -> None:
        uow.requests.use_nonce("k", "n", 1)
        began.set()
        assert go_on.wait(20)
        raise RuntimeError("rolled back")

    async def scene() -> list[str]:
        listener = held.database.listen(Topic.OUTBOX)
        blocking = asyncio.create_task(held.database.write(silent))
        await asyncio.to_thread(began.wait, 20)
        await held.database.write(lambda uow: uow.outbox.append(event(kind="waits")))
        assert await listener.wait(1)
        assert await held.database.read(lambda uow: uow.outbox.read(0, 9)) == ()
        go_on.set()
        assert await listener.wait(1)
        await asyncio.gather(blocking, return_exceptions=True)
        return [row.kind for row in await held.database.read(lambda uow: uow.outbox.read(0, 9))]

    assert held.run(scene()) == ["waits"]


def test_numbers_go_on_after_a_dump_is_restored_elsewhere(held: Held) -> None:
    far = 2**50
    with psycopg.connect(held.url) as server:
        server.execute(
            "INSERT INTO outbox (seq, stream, kind, subject, data, at_ms)"
            " VALUES (%s, 's', 'old', '', '{}', 1)",
            (far,),
        )
    migrate(held.url)
    held.write(lambda uow: uow.outbox.append(event(kind="new")))
    found = held.read(lambda uow: uow.outbox.read(far - 1, 9))
    assert [row.kind for row in found] == ["old", "new"]


def test_groups_that_cross_each_other_all_get_through(held: Held) -> None:
    both = (transfer("a", cash(), held_by("x"), 900), transfer("b", cash(), held_by("y"), 900))
    held.write(lambda uow: uow.ledger.post(both))

    def crossing(n: int) -> Callable[[UnitOfWork], None]:
        to_y, to_x = (held_by("x"), held_by("y")), (held_by("y"), held_by("x"))

        def fn(uow: UnitOfWork) -> None:
            first, second = (to_y, to_x) if n % 2 else (to_x, to_y)
            uow.ledger.post((transfer(f"{n} first", *first, 1),))
            uow.ledger.post((transfer(f"{n} second", *second, 1),))

        return fn

    async def rush() -> None:
        await asyncio.gather(*(held.database.write(crossing(n)) for n in range(80)))

    held.run(rush())
    assert held.read(lambda uow: uow.ledger.differences()) == ()
    assert held.read(lambda uow: uow.ledger.balance(held_by("x"))) == 900


def test_units_about_one_contract_take_turns(held: Held) -> None:
    row = contract()
    held.write(lambda uow: uow.contracts.add(row, step(row)))
    inside: list[str] = []

    def look(name: str) -> Callable[[UnitOfWork], None]:
        def fn(uow: UnitOfWork) -> None:
            uow.contracts.get(row.id)
            inside.append(f"{name} in")
            threading.Event().wait(0.05)
            inside.append(f"{name} out")

        return fn

    async def rush() -> None:
        await asyncio.gather(*(held.database.write(look(name)) for name in "abc"))

    held.run(rush())
    assert [word.split()[1] for word in inside] == ["in", "out"] * 3


def test_many_writers_of_one_record_all_get_through(held: Held) -> None:
    held.write(lambda uow: uow.providers.add_pool(pool()))

    def append(uow: UnitOfWork) -> None:
        stored = uow.providers.pool(POOL)
        assert stored is not None
        seq = stored.log_seq + 1
        grown = replace(stored, log_seq=seq, log_hash=str(seq))
        uow.providers.append_log(grown, PoolLogEntry(POOL, seq, str(seq), "{}"))

    async def rush() -> None:
        await asyncio.gather(*(held.database.write(append) for _ in range(60)))

    held.run(rush())
    stored = held.read(lambda uow: uow.providers.pool(POOL))
    assert stored is not None
    assert (stored.log_seq, stored.version) == (60, 61)


def test_a_connection_that_was_cut_while_idle_is_opened_anew(held: Held) -> None:
    held.write(lambda uow: uow.outbox.append(event()))
    _cut_all(held.url)
    held.write(lambda uow: uow.outbox.append(event()))
    assert len(held.read(lambda uow: uow.outbox.read(0, 9))) == 2


def _cut_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

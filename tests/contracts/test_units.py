"""Units of work: whole or not at all, alone in their failure, handed out and announced only after the commit."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import Topic, UnitOfWork
from decent_cloud.domain.identity.accounts import Link
from decent_cloud.domain.ledger.errors import Overdrawn
from decent_cloud.kernel.errors import AlreadyExists, Internal, StaleVersion, TryLater
from tests.contracts.conftest import Held
from tests.contracts.samples import (
    TENANT,
    account,
    cash,
    event,
    job,
    transfer,
)
from tests.contracts.samples import (
    held as held_by,
)


def adds(key: str) -> Callable[[UnitOfWork], bool]:
    return lambda uow: uow.jobs.add(job(key))


def gets(key: str) -> Callable[[UnitOfWork], Job | None]:
    return lambda uow: uow.jobs.get(key)


def test_a_unit_that_fails_leaves_nothing(held: Held) -> None:
    def fails(uow: UnitOfWork) -> None:
        uow.accounts.add(account())
        uow.jobs.add(job("a"))
        uow.ledger.post((transfer("t1", cash(), held_by()),))
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        held.write(fails)
    assert held.read(lambda uow: uow.accounts.get(TENANT)) is None
    assert held.read(lambda uow: uow.jobs.get("a")) is None
    assert held.read(lambda uow: uow.ledger.balances("")) == ()


def test_units_queued_together_fail_alone(held: Held) -> None:
    held.write(lambda uow: uow.ledger.post((transfer("t0", cash(), held_by("a"), 10),)))

    def post(id_: str, amount_minor: int = 1, owner: str = "a") -> Callable[[UnitOfWork], str]:
        def fn(uow: UnitOfWork) -> str:
            uow.outbox.append(event(kind=id_))
            uow.ledger.post((transfer(id_, held_by(owner), held_by("z"), amount_minor),))
            return id_

        return fn

    def breaks(uow: UnitOfWork) -> str:
        uow.outbox.append(event(kind="breaks"))
        raise RuntimeError("a bug")

    async def together() -> list[object]:
        units = [post("t1"), post("t2", 99), post("t0"), breaks, post("t3", owner="a")]
        return await asyncio.gather(
            *(held.database.write(unit) for unit in units), return_exceptions=True
        )

    ended = held.run(together())
    assert ended[0] == "t1"
    assert isinstance(ended[1], Overdrawn)
    assert isinstance(ended[2], AlreadyExists)
    assert isinstance(ended[3], RuntimeError)
    assert ended[4] == "t3"
    assert held.read(lambda uow: uow.ledger.balance(held_by("a"))) == 8
    assert {row.kind for row in held.read(lambda uow: uow.outbox.read(0, 9))} == {"t1", "t3"}
    assert held.read(lambda uow: uow.ledger.differences()) == ()


def test_a_stale_unit_runs_again_on_what_is_there_by_then(held: Held) -> None:
    held.write(lambda uow: uow.accounts.add(account()))
    runs = []

    def late(uow: UnitOfWork) -> None:
        runs.append(1)
        stored = uow.accounts.get(TENANT)
        assert stored is not None
        read = replace(stored, version=stored.version - 1) if len(runs) < 3 else stored
        uow.accounts.save(replace(read, admin=True))

    held.write(late)
    assert len(runs) == 3
    saved = held.read(lambda uow: uow.accounts.get(TENANT))
    assert saved == replace(account(), admin=True, version=2)


def test_a_unit_that_stays_stale_is_a_conflict_in_the_end(held: Held) -> None:
    held.write(lambda uow: uow.accounts.add(account()))
    runs = []

    def stale(uow: UnitOfWork) -> None:
        runs.append(1)
        uow.accounts.save(replace(account(), version=9))

    with pytest.raises(StaleVersion):
        held.write(stale)
    assert len(runs) == 6


def test_a_reading_unit_cannot_write(held: Held) -> None:
    with pytest.raises(Exception, match=r"(?i)readonly|read-only|reading|cannot be read"):
        held.read(lambda uow: uow.accounts.add(account()))
    assert held.read(lambda uow: uow.accounts.get(TENANT)) is None


def test_a_reading_unit_sees_one_moment(sql: Held) -> None:
    sql.write(lambda uow: uow.jobs.add(job("a")))
    looked, wrote = threading.Event(), threading.Event()

    def slow(uow: UnitOfWork) -> bool:
        before = uow.jobs.get("b")
        looked.set()
        assert wrote.wait(10)
        return (before, uow.jobs.get("b")) == (None, None)

    async def both() -> bool:
        reading = asyncio.create_task(sql.database.read(slow))
        await asyncio.to_thread(looked.wait, 10)
        await sql.database.write(lambda uow: uow.jobs.add(job("b")))
        wrote.set()
        return await reading

    assert sql.run(both())
    assert sql.read(lambda uow: uow.jobs.get("b")) is not None


def test_a_listener_wakes_after_a_commit_of_its_topic_only(held: Held) -> None:
    async def scene() -> None:
        jobs = held.database.listen(Topic.JOBS)
        outbox = held.database.listen(Topic.OUTBOX)
        sleeping = asyncio.create_task(jobs.wait(10))
        await asyncio.sleep(0.01)
        await held.database.write(lambda uow: uow.jobs.add(job("a")))
        assert await sleeping
        assert not await jobs.wait(0.01)
        assert not await outbox.wait(0.01)
        await held.database.write(lambda uow: uow.outbox.append(event()))
        assert await outbox.wait(0)  # committed before the wait
        assert not await outbox.wait(0.01)
        with pytest.raises(RuntimeError):
            await held.database.write(_fails_after_a_job)
        assert not await jobs.wait(0.01)

    held.run(scene())


def _fails_after_a_job(uow: UnitOfWork) -> None:
    uow.jobs.add(job("never"))
    raise RuntimeError("halfway")


def test_a_woken_listener_finds_what_was_committed(held: Held) -> None:
    async def scene() -> list[bool]:
        listener = held.database.listen(Topic.JOBS)
        found = []
        for n in range(50):
            waiting = asyncio.create_task(listener.wait(10))
            await asyncio.sleep(0)
            writing = asyncio.create_task(held.database.write(adds(str(n))))
            assert await waiting
            row = await held.database.read(gets(str(n)))
            found.append(row is not None)
            await writing
        return found

    assert all(held.run(scene()))


def test_a_closed_listener_stops_waiting(held: Held) -> None:
    async def scene() -> None:
        listener = held.database.listen(Topic.JOBS)
        waiting = asyncio.create_task(listener.wait(10))
        await asyncio.sleep(0.01)
        listener.close()
        await asyncio.wait_for(waiting, 1)

    held.run(scene())
    assert held.write(lambda uow: uow.jobs.add(job("a")))


def test_several_event_loops_share_a_database(held: Held) -> None:
    ended: list[bool] = []

    async def work(name: str) -> None:
        listener = held.database.listen(Topic.JOBS)
        writes = [held.database.write(adds(f"{name} {k}")) for k in range(20)]
        await asyncio.gather(*writes)
        ended.append(await listener.wait(10))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(str(n)))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ended == [True] * 3
    assert len(held.write(lambda uow: uow.jobs.claim("w", 1, 1, 99))) == 60


def test_a_caller_that_goes_away_harms_nobody(held: Held) -> None:
    async def scene() -> None:
        gone = asyncio.create_task(held.database.write(lambda uow: uow.jobs.add(job("a"))))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await held.database.write(lambda uow: uow.jobs.add(job("b")))

    held.run(scene())
    assert held.read(lambda uow: uow.jobs.get("b")) is not None


def test_a_closed_database_takes_no_units(held: Held) -> None:
    held.run(held.database.close())
    with pytest.raises(TryLater):
        held.write(lambda uow: uow.jobs.add(job("a")))
    with pytest.raises(TryLater):
        held.read(lambda uow: uow.jobs.get("a"))


def test_a_child_without_its_parent_is_refused_at_commit(sql: Held) -> None:
    orphan = Link(TENANT, 0, "hash", "{}", 1_000)

    def parent_last(uow: UnitOfWork) -> None:
        uow.accounts.add_link(orphan)
        uow.accounts.add(account())

    async def together() -> list[object]:
        alone = sql.database.write(lambda uow: uow.accounts.add_link(replace(orphan, seq=1)))
        beside = [sql.database.write(adds(str(n))) for n in range(3)]
        return await asyncio.gather(alone, *beside, return_exceptions=True)

    ended = sql.run(together())
    assert isinstance(ended[0], Internal)
    assert ended[1:] == [True] * 3
    sql.write(parent_last)
    assert sql.read(lambda uow: uow.accounts.links(TENANT)) == (orphan,)


@pytest.mark.parametrize("sql", ["sqlite"], indirect=True)
def test_a_full_disk_is_said_and_nothing_is_half_done(sql: Held) -> None:
    folder = Path(sql.url.removeprefix("sqlite:///")).parent
    size = max(path.stat().st_size for path in folder.iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def big(n: int) -> Callable[[UnitOfWork], None]:
        def fn(uow: UnitOfWork) -> None:
            uow.ledger.post((transfer(f"t{n}", cash(), held_by()),))
            uow.outbox.append(event(kind="x" * 20_000))

        return fn

    async def rush() -> list[object]:
        units = (sql.database.write(big(n)) for n in range(60))
        return await asyncio.gather(*units, return_exceptions=True)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 400_000, before[1]))
    try:
        ended = sql.run(rush())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused = [error for error in ended if error is not None]
    assert refused
    assert {type(error) for error in refused} == {TryLater}
    booked = sql.read(lambda uow: uow.ledger.transfers("r"))
    assert {row.id for row in booked} == {f"t{n}" for n in range(60) if ended[n] is None}
    assert sql.read(lambda uow: uow.ledger.differences()) == ()
    sql.write(big(99))


@pytest.mark.slow
@pytest.mark.parametrize("sql", ["sqlite"], indirect=True)
def test_another_process_that_holds_the_file_is_waited_for_then_said(sql: Held) -> None:
    with closing(sqlite3.connect(sql.url.removeprefix("sqlite:///"))) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryLater, match="busy"):
            sql.write(lambda uow: uow.jobs.add(job("a")))
        stranger.rollback()
    assert sql.write(lambda uow: uow.jobs.add(job("a")))

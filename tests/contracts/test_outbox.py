"""The event log: every event once, in one order, also when many commit at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from decent_cloud.app.ports.outbox import Event
from decent_cloud.kernel.errors import AlreadyExists
from tests.contracts.conftest import Held
from tests.contracts.samples import account, each, event


def test_events_come_in_the_order_of_their_commits(held: Held) -> None:
    assert held.read(lambda uow: uow.outbox.last_seq()) == 0
    held.write(lambda uow: uow.outbox.append(event(kind="one")))
    held.write(lambda uow: uow.outbox.append(event(kind="two")))
    held.write(lambda uow: each(uow.outbox.append, (event(kind="three"), event(kind="four"))))
    found = held.read(lambda uow: uow.outbox.read(0, 9))
    assert [row.kind for row in found] == ["one", "two", "three", "four"]
    assert replace(found[0], seq=0) == event(kind="one")
    seqs = [row.seq for row in found]
    assert seqs == sorted(set(seqs))
    assert held.read(lambda uow: uow.outbox.last_seq()) == seqs[-1]
    rest = held.read(lambda uow: uow.outbox.read(seqs[1], 1))
    assert [row.kind for row in rest] == ["three"]


def test_a_stream_is_read_alone(held: Held) -> None:
    events = [event("pool/a", "1"), event("pool/b", "2"), event("pool/a", "3")]
    held.write(lambda uow: each(uow.outbox.append, events))
    found = held.read(lambda uow: uow.outbox.read_stream("pool/a", 0, 9))
    assert [row.kind for row in found] == ["1", "3"]
    rest = held.read(lambda uow: uow.outbox.read_stream("pool/a", found[0].seq, 9))
    assert rest == found[1:]


def test_a_unit_that_fails_leaves_no_event(held: Held) -> None:
    held.write(lambda uow: uow.accounts.add(account()))

    def fails(uow: object) -> None:
        uow.outbox.append(event())  # type: ignore[attr-defined]
        uow.accounts.add(account())  # type: ignore[attr-defined]

    with pytest.raises(AlreadyExists):
        held.write(fails)
    assert held.read(lambda uow: uow.outbox.read(0, 9)) == ()


def test_old_events_are_dropped_and_numbers_never_start_again(held: Held) -> None:
    held.write(lambda uow: each(uow.outbox.append, [event(at_ms=at) for at in (1, 2, 3)]))
    last = held.read(lambda uow: uow.outbox.last_seq())
    assert held.write(lambda uow: uow.outbox.drop(3)) == 2
    held.write(lambda uow: uow.outbox.drop(9))
    assert held.read(lambda uow: uow.outbox.last_seq()) == last
    held.write(lambda uow: uow.outbox.append(event()))
    assert held.read(lambda uow: uow.outbox.last_seq()) > last


def test_a_reader_beside_many_writers_misses_nothing(held: Held) -> None:
    async def rush() -> list[Event]:
        seen: list[Event] = []
        done = asyncio.Event()

        async def follow() -> None:
            while True:
                finished = done.is_set()
                more = await held.database.read(
                    lambda uow: uow.outbox.read(seen[-1].seq if seen else 0, 50)
                )
                seen.extend(more)
                if finished and not more:
                    return
                await asyncio.sleep(0)

        reader = asyncio.create_task(follow())
        writes = [
            held.database.write(
                lambda uow, n=n: each(
                    uow.outbox.append, [event(kind=f"{n}.{k}") for k in range(n % 3 + 1)]
                )  # type: ignore[misc]
            )
            for n in range(200)
        ]
        await asyncio.gather(*writes)
        done.set()
        await reader
        return seen

    seen = held.run(rush())
    assert sorted(row.kind for row in seen) == sorted(
        f"{n}.{k}" for n in range(200) for k in range(n % 3 + 1)
    )
    assert [row.seq for row in seen] == sorted({row.seq for row in seen})

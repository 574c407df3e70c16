"""The job table: claims, fences, leases, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.kernel.errors import StaleVersion
from decent_cloud.kernel.status import JobState
from tests.contracts.conftest import Held
from tests.contracts.samples import each, job


def claim(held: Held, owner: str = "w1", now_ms: int = 1_000, limit: int = 9) -> tuple[Job, ...]:
    return held.write(lambda uow: uow.jobs.claim(owner, now_ms, 500, limit))


def test_a_key_makes_one_job(held: Held) -> None:
    assert held.write(lambda uow: uow.jobs.add(job("a", data='{"n":1}')))
    assert not held.write(lambda uow: uow.jobs.add(job("a", run_at_ms=9)))
    assert not held.write(lambda uow: uow.jobs.add(replace(job("b"), key="a")))
    assert held.read(lambda uow: uow.jobs.get("a")) == job("a", data='{"n":1}')


def test_a_claim_takes_what_is_due_oldest_first(held: Held) -> None:
    rows = [job("late", 900), job("early", 100), job("not yet", 1_001)]
    held.write(lambda uow: each(uow.jobs.add, rows))
    claimed = claim(held)
    assert [row.key for row in claimed] == ["early", "late"]
    assert claimed[0] == job("early", 100, owner="w1", lease_until_ms=1_500, fence=1, attempts=1)
    assert claim(held, "w2") == ()


def test_a_limit_leaves_the_rest(held: Held) -> None:
    held.write(lambda uow: [uow.jobs.add(job(str(n), n)) for n in range(3)])
    assert [row.key for row in claim(held, limit=2)] == ["0", "1"]
    assert [row.key for row in claim(held, limit=2)] == ["2"]


def test_many_claimers_never_get_one_job(held: Held) -> None:
    held.write(lambda uow: [uow.jobs.add(job(str(n))) for n in range(40)])

    async def rush() -> list[tuple[Job, ...]]:
        def taker(owner: str) -> Callable[[UnitOfWork], tuple[Job, ...]]:
            return lambda uow: uow.jobs.claim(owner, 1_000, 500, 3)

        claims = [held.database.write(taker(f"w{n}")) for n in range(12)]
        return await asyncio.gather(*claims)

    taken = [row.key for claimed in held.run(rush()) for row in claimed]
    assert len(taken) == len(set(taken)) == 36
    assert len(claim(held, "last", limit=99)) == 4


def test_a_lapsed_lease_goes_to_another_and_the_late_one_is_refused(held: Held) -> None:
    held.write(lambda uow: uow.jobs.add(job("a")))
    first = claim(held, "w1", 1_000)[0]
    assert claim(held, "w2", 1_499) == ()
    second = claim(held, "w2", 1_500)[0]
    assert (second.fence, second.attempts) == (2, 2)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.jobs.advance(first, replace(first, state=JobState.DONE)))
    done = replace(second, state=JobState.DONE, owner="", lease_until_ms=0)
    held.write(lambda uow: uow.jobs.advance(second, done))
    assert held.read(lambda uow: uow.jobs.get("a")) == done


def test_a_job_moves_once_a_claim(held: Held) -> None:
    held.write(lambda uow: uow.jobs.add(job("a")))
    mine = claim(held)[0]
    later = replace(mine, run_at_ms=5_000, owner="", lease_until_ms=0, attempts=0, error="x")
    held.write(lambda uow: uow.jobs.advance(mine, later))
    with pytest.raises(StaleVersion):  # a renewal that was on its way
        held.write(lambda uow: uow.jobs.advance(mine, replace(mine, lease_until_ms=9_000)))
    assert held.read(lambda uow: uow.jobs.get("a")) == later
    assert claim(held, now_ms=4_999) == ()
    assert claim(held, now_ms=5_000)[0].fence == 2


def test_a_renewed_lease_keeps_the_claim(held: Held) -> None:
    held.write(lambda uow: uow.jobs.add(job("a")))
    mine = claim(held)[0]
    held.write(lambda uow: uow.jobs.advance(mine, replace(mine, lease_until_ms=2_000)))
    assert claim(held, "w2", 1_999) == ()
    held.write(lambda uow: uow.jobs.advance(mine, replace(mine, step="two", state=JobState.DONE)))
    stored = held.read(lambda uow: uow.jobs.get("a"))
    assert stored is not None
    assert (stored.step, stored.state) == ("two", JobState.DONE)


def test_the_next_run_is_the_soonest_ready_one(held: Held) -> None:
    assert held.read(lambda uow: uow.jobs.next_run_ms()) is None
    rows = [job("a", 700), job("b", 300), job("c", 100, state=JobState.DONE)]
    held.write(lambda uow: each(uow.jobs.add, rows))
    assert held.read(lambda uow: uow.jobs.next_run_ms()) == 300
    claim(held, now_ms=300)
    assert held.read(lambda uow: uow.jobs.next_run_ms()) == 700


def test_the_dead_are_kept_and_the_done_are_dropped(held: Held) -> None:
    rows = [
        job("dead 1", 100, state=JobState.DEAD),
        job("dead 2", 200, state=JobState.DEAD),
        job("done 1", 100, state=JobState.DONE),
        job("done 2", 200, state=JobState.DONE),
        job("ready", 100),
    ]
    held.write(lambda uow: each(uow.jobs.add, rows))
    counts = held.read(lambda uow: uow.jobs.count_by_state())
    assert counts == {JobState.DEAD: 2, JobState.DONE: 2, JobState.READY: 1}
    assert [row.key for row in held.read(lambda uow: uow.jobs.dead(9))] == ["dead 2", "dead 1"]
    assert held.write(lambda uow: uow.jobs.drop_done(200)) == 1
    assert held.read(lambda uow: uow.jobs.get("done 2")) is not None
    assert held.read(lambda uow: uow.jobs.get("dead 1")) is not None

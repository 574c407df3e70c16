"""The runner: wakes at once, retries with backoff, gives up, renews leases, stops gracefully."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from structlog.typing import EventDict

from decent_cloud.adapters.memory.database import MemoryDatabase
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.jobs.handler import Cron, Handler, Next, Step
from decent_cloud.jobs.runner import MOST_AT_ONCE, Runner, backoff_ms
from decent_cloud.kernel.clock import MINUTE_MS, SystemClock
from decent_cloud.kernel.errors import DecentError, Internal, NotFound, StaleVersion, TryLater
from decent_cloud.kernel.status import JobState
from tests.contracts.samples import event, job

START_MS = 1_000_000


class HandClock:
    """Goes only when told."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        return self.at_ms


class Doing:
    """A handler made of one function."""

    kind = "sample"

    def __init__(self, fn: Callable[[Job, Step], Awaitable[object]]) -> None:
        self._fn = fn

    async def run(self, job: Job, step: Step) -> None:
        await self._fn(job, step)


class Bench:
    """A runner on a database in memory."""

    def __init__(self, *handlers: Handler, crons: tuple[Cron, ...] = (), owner: str = "w1") -> None:
        self.db = MemoryDatabase()
        self.clock = HandClock()
        self.places: list[str] = []
        self.runner = Runner(self.db, self.clock, handlers, crons, owner, self.places.append)

    def add(self, key: str = "a", run_at_ms: int = 0) -> None:
        assert self.db.write_now(lambda uow: uow.jobs.add(job(key, run_at_ms)))

    def job(self, key: str = "a") -> Job:
        found = self.db.read_now(lambda uow: uow.jobs.get(key))
        assert found is not None
        return found

    def kinds(self) -> list[str]:
        return [row.kind for row in self.db.read_now(lambda uow: uow.outbox.read(0, 99))]

    def due(self) -> int:
        return asyncio.run(self.runner.run_due())


def saying(kind: str, after: Next) -> Callable[[UnitOfWork], Next]:
    def fn(uow: UnitOfWork) -> Next:
        uow.outbox.append(event(kind=kind))
        return after

    return fn


async def finish(_: Job, step: Step) -> None:
    await step.commit(saying("done", Next.done()))


def failing(error: Exception) -> Callable[[Job, Step], Coroutine[Any, Any, None]]:
    async def fn(_: Job, __: Step) -> None:
        raise error

    return fn


def test_effects_and_the_next_place_commit_together() -> None:
    async def run(job_: Job, step: Step) -> None:
        assert await step.read(lambda uow: uow.jobs.get(job_.key)) == job_
        step_name = {"": "two", "two": "three"}.get(job_.step)
        after = Next.again(step.now_ms(), step_name, '{"n":1}') if step_name else Next.done()
        await step.commit(saying(step.key, after))

    bench = Bench(Doing(run))
    bench.add()
    assert bench.due() == 3
    assert bench.kinds() == ["a:", "a:two", "a:three"]
    assert bench.job() == job(
        "a", START_MS, step="three", data='{"n":1}', state=JobState.DONE, fence=3
    )
    assert bench.places == [
        f"sample:{name}:{place}"
        for name in ("", "two", "three")
        for place in ("before", "acted", "after")
    ]


def test_a_job_waits_for_its_time() -> None:
    bench = Bench(Doing(finish))
    bench.add(run_at_ms=START_MS + 1)
    assert bench.due() == 0
    bench.clock.at_ms += 1
    assert bench.due() == 1


@pytest.mark.parametrize("error", [TryLater("busy"), Internal("odd"), KeyError("bug")])
def test_a_failure_is_tried_again_later_with_its_error_kept(error: Exception) -> None:
    bench = Bench(Doing(failing(error)))
    bench.add()
    waits = []
    for _ in range(12):
        assert bench.due() == 1
        waits.append(bench.job().run_at_ms - bench.clock.at_ms)
        bench.clock.at_ms = bench.job().run_at_ms
    assert waits == [backoff_ms(n) for n in range(1, 13)]
    assert waits[:3] == [1_000, 2_000, 4_000]
    assert waits[-1] == 5 * MINUTE_MS
    text = error.message if isinstance(error, DecentError) else repr(error)
    assert (bench.job().state, bench.job().error, bench.job().owner) == (JobState.READY, text, "")


def test_a_success_forgets_earlier_failures() -> None:
    async def run(job_: Job, step: Step) -> None:
        if job_.attempts == 1:
            raise TryLater("once")
        await step.commit(lambda _: Next.again(START_MS + MINUTE_MS))

    bench = Bench(Doing(run))
    bench.add()
    bench.due()
    bench.clock.at_ms += 1_000
    bench.due()
    assert (bench.job().attempts, bench.job().error) == (0, "")


def test_what_waiting_cannot_cure_is_given_up() -> None:
    bench = Bench(Doing(failing(NotFound("no such contract"))))
    bench.add()
    assert bench.due() == 1
    assert [row.error for row in bench.db.read_now(lambda uow: uow.jobs.dead(9))] == [
        "no such contract"
    ]


def test_a_handler_may_give_up_itself() -> None:
    async def run(_: Job, step: Step) -> None:
        await step.commit(saying("told", Next.dead("hopeless")))

    bench = Bench(Doing(run))
    bench.add()
    bench.due()
    assert (bench.job().state, bench.job().error) == (JobState.DEAD, "hopeless")
    assert bench.kinds() == ["told"]


def test_a_run_without_a_commit_is_a_failure(logs: list[EventDict]) -> None:
    async def run(_: Job, __: Step) -> None:
        return

    bench = Bench(Doing(run))
    bench.add()
    bench.due()
    assert "without a commit" in bench.job().error
    assert [(line["event"], line["job"]) for line in logs] == [("jobs.failed", "a")]


def test_a_second_commit_is_refused() -> None:
    async def run(_: Job, step: Step) -> None:
        await step.commit(saying("one", Next.done()))
        await step.commit(saying("two", Next.done()))

    bench = Bench(Doing(run))
    bench.add()
    bench.due()
    assert bench.kinds() == ["one"]
    assert bench.job().state is JobState.DONE


def test_a_kind_that_nobody_knows_is_left_for_others() -> None:
    bench = Bench()
    bench.add()
    bench.due()
    assert bench.job().state is JobState.READY
    assert bench.job().run_at_ms == START_MS + MINUTE_MS
    assert "sample" in bench.job().error


def test_a_late_worker_is_refused_and_its_effects_with_it() -> None:
    bench = Bench(Doing(finish))

    async def run(_: Job, step: Step) -> None:
        bench.clock.at_ms += MINUTE_MS  # asleep until the lease is over
        other = Runner(bench.db, bench.clock, [Doing(finish)], (), "w2")
        assert await other.run_due() == 1
        with pytest.raises(StaleVersion):
            await step.commit(saying("late", Next.again(0)))
        raise TryLater("and what now")

    late = Runner(bench.db, bench.clock, [Doing(run)], (), "w1")
    bench.add()
    asyncio.run(late.run_due())
    assert bench.kinds() == ["done"]
    assert bench.job().state is JobState.DONE


def test_a_cron_runs_once_a_tick_over_all_workers() -> None:
    def tick(uow: UnitOfWork, now_ms: int) -> None:
        uow.outbox.append(event(kind=str(now_ms)))

    bench = Bench(crons=(Cron("daily", 1_000, tick),))
    other = Runner(bench.db, bench.clock, (), (Cron("daily", 1_000, tick),), "w2")
    for _ in range(2):
        bench.due()
        asyncio.run(other.run_due())
        bench.clock.at_ms += 400
    assert bench.kinds() == ["1000000"]
    bench.clock.at_ms = START_MS + 1_200
    asyncio.run(other.run_due())
    bench.due()
    assert bench.kinds() == ["1000000", "1001200"]
    assert bench.places[:3] == ["daily:cron:before", "daily:cron:acted", "daily:cron:after"]


def test_a_cron_that_fails_is_tried_again_and_stops_nothing_else() -> None:
    tries = []

    def tick(uow: UnitOfWork, _: int) -> None:
        uow.outbox.append(event(kind="ticked"))
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("a bug")

    bench = Bench(Doing(finish), crons=(Cron("daily", 60_000, tick),))
    bench.add()
    bench.due()
    assert bench.kinds() == ["done"]
    bench.clock.at_ms += 1_000
    bench.due()
    assert bench.kinds() == ["done", "ticked"]


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def test_a_due_job_starts_within_milliseconds_of_its_commit() -> None:
    started: list[float] = []

    async def run(_: Job, step: Step) -> None:
        started.append(time.perf_counter())
        await step.commit(lambda _: Next.done())

    async def scene() -> list[float]:
        db = MemoryDatabase()
        runner = Runner(db, SystemClock(), [Doing(run)], (), "w1")
        working = asyncio.create_task(runner.run())
        took = []
        for n in range(20):
            await asyncio.sleep(0.005)
            committed = time.perf_counter()
            await db.write(lambda uow, n=n: uow.jobs.add(job(str(n))))  # type: ignore[misc]
            await until(lambda n=n: len(started) > n)  # type: ignore[misc]
            took.append(started[-1] - committed)
        await runner.stop()
        await working
        return sorted(took)

    took = asyncio.run(scene())
    assert took[len(took) // 2] < 0.005


def test_a_job_in_the_future_starts_when_its_time_comes() -> None:
    async def scene() -> None:
        db, clock = MemoryDatabase(), SystemClock()
        runner = Runner(db, clock, [Doing(finish)], (), "w1")
        working = asyncio.create_task(runner.run())
        at_ms = clock.now_ms() + 100
        await db.write(lambda uow: uow.jobs.add(job("a", at_ms)))
        await until(lambda: bool(db.read_now(lambda uow: uow.outbox.last_seq())))
        assert at_ms <= clock.now_ms() < at_ms + 500
        await runner.stop()
        await working

    asyncio.run(scene())


def test_no_more_than_so_many_run_at_once_and_all_run_in_the_end() -> None:
    running, most, total = 0, 0, 50

    async def run(_: Job, step: Step) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        await step.commit(saying("done", Next.done()))

    async def scene() -> int:
        db = MemoryDatabase()
        runner = Runner(db, SystemClock(), [Doing(run)], (), "w1")
        for n in range(total):
            await db.write(lambda uow, n=n: uow.jobs.add(job(str(n))))  # type: ignore[misc]
        working = asyncio.create_task(runner.run())
        await until(lambda: db.read_now(lambda uow: uow.outbox.last_seq()) == total)
        await runner.stop()
        await working
        return most

    assert asyncio.run(scene()) == MOST_AT_ONCE


def test_a_long_run_keeps_its_lease_while_others_look() -> None:
    runs: list[str] = []

    def long(owner: str) -> Doing:
        async def run(_: Job, step: Step) -> None:
            runs.append(owner)
            await asyncio.sleep(0.5)
            await step.commit(saying("done", Next.done()))

        return Doing(run)

    async def scene() -> list[str]:
        db = MemoryDatabase()
        await db.write(lambda uow: uow.jobs.add(job("a")))
        workers = [
            Runner(db, SystemClock(), [long(owner)], (), owner, lease_ms=150)
            for owner in ("w1", "w2")
        ]
        working = [asyncio.create_task(runner.run()) for runner in workers]
        await until(lambda: bool(db.read_now(lambda uow: uow.outbox.last_seq())))
        for runner in workers:
            await runner.stop()
        await asyncio.gather(*working)
        return [row.kind for row in db.read_now(lambda uow: uow.outbox.read(0, 9))]

    assert asyncio.run(scene()) == ["done"]
    assert len(runs) == 1


def test_a_run_whose_lease_was_taken_is_stopped() -> None:
    stopped: list[str] = []

    async def run(_: Job, __: Step) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            stopped.append("late")
            raise

    async def scene() -> None:
        db, clock = MemoryDatabase(), SystemClock()
        await db.write(lambda uow: uow.jobs.add(job("a")))
        runner = Runner(db, clock, [Doing(run)], (), "w1", lease_ms=90)
        working = asyncio.create_task(runner.run())
        await until(lambda: db.read_now(lambda uow: bool((uow.jobs.get("a") or job("a")).owner)))
        future_ms = clock.now_ms() + 10_000
        await db.write(lambda uow: uow.jobs.claim("w2", future_ms, MINUTE_MS, 1))
        await until(lambda: bool(stopped))
        await runner.stop()
        await working

    asyncio.run(scene())
    assert stopped == ["late"]


def test_a_stop_lets_running_work_finish_and_cuts_off_what_does_not() -> None:
    async def scene(work_s: float) -> tuple[list[str], Job]:
        async def run(_: Job, step: Step) -> None:
            await asyncio.sleep(work_s)
            await step.commit(saying("done", Next.done()))

        db = MemoryDatabase()
        await db.write(lambda uow: uow.jobs.add(job("a")))
        runner = Runner(db, SystemClock(), [Doing(run)], (), "w1")
        working = asyncio.create_task(runner.run())
        await asyncio.sleep(0.02)
        await db.write(lambda uow: uow.jobs.add(replace(job("b"), run_at_ms=2**50)))
        await runner.stop(0.3)
        await working
        left = db.read_now(lambda uow: uow.jobs.get("a"))
        assert left is not None
        return [row.kind for row in db.read_now(lambda uow: uow.outbox.read(0, 9))], left

    kinds, done = asyncio.run(scene(0.05))
    assert (kinds, done.state) == (["done"], JobState.DONE)
    kinds, left = asyncio.run(scene(30))
    assert (kinds, left.state, left.owner) == ([], JobState.READY, "w1")


def test_a_database_that_fails_for_a_while_does_not_end_the_loop() -> None:
    class Flaky(MemoryDatabase):
        failures = 2

        async def write(self, fn: Callable[[UnitOfWork], Any]) -> Any:
            if self.failures:
                self.failures -= 1
                raise TryLater("the database is busy")
            return await super().write(fn)

    async def scene() -> list[str]:
        db = Flaky()
        db.write_now(lambda uow: uow.jobs.add(job("a")))
        runner = Runner(db, SystemClock(), [Doing(finish)], (), "w1")
        working = asyncio.create_task(runner.run())
        await until(lambda: bool(db.read_now(lambda uow: uow.outbox.last_seq())))
        await runner.stop()
        await working
        return [row.kind for row in db.read_now(lambda uow: uow.outbox.read(0, 9))]

    assert asyncio.run(scene()) == ["done"]

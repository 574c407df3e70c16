"""The loop that claims due jobs and runs their handlers, with leases, fences, backoff and a graceful stop.

A worker may be killed anywhere. Its jobs' leases run out, others claim them with a higher fence, and should the late
one still live, its commit is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import structlog

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import Database, Listener, Topic, UnitOfWork
from decent_cloud.jobs.handler import Cron, Handler, Hook, Step
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS, Clock
from decent_cloud.kernel.errors import DecentError, Internal, Kind, StaleVersion
from decent_cloud.kernel.ids import JobId
from decent_cloud.kernel.status import JobState

LEASE_MS = 30 * SECOND_MS
MOST_AT_ONCE = 16
POLL_S = 1.0  # other processes' commits do not wake us
STOP_S = 20.0
LONGEST_BACKOFF_MS = 5 * MINUTE_MS
UNKNOWN_KIND_MS = MINUTE_MS  # a newer worker may know it
MOST_ERROR_CHARS = 500

# Waiting cures none of these; a person must look.
_HOPELESS = {Kind.INVALID, Kind.FORBIDDEN, Kind.UNAUTHENTICATED, Kind.NOT_FOUND}

_log = structlog.get_logger(__name__)


def backoff_ms(attempts: int) -> int:
    """Return how long to wait after so many failed tries: 1 s, doubling, at most 5 minutes."""
    return min(LONGEST_BACKOFF_MS, SECOND_MS << min(max(attempts, 1) - 1, 20))


def _no_hook(_: str) -> None:
    return None


class Runner:
    """One worker; several may share a database, in one process or many."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        handlers: Sequence[Handler],
        crons: Sequence[Cron],
        owner: str,
        on_step: Hook = _no_hook,
        *,
        lease_ms: int = LEASE_MS,
    ) -> None:
        """`owner` names this worker in the table; `on_step` is told each step, for tests that kill there."""
        self._db = db
        self._clock = clock
        self._handlers = {handler.kind: handler for handler in handlers}
        self._crons = crons
        self._owner = owner
        self._on_step = on_step
        self._lease_ms = lease_ms
        self._cron_due_ms = {cron.name: 0 for cron in crons}
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._next_ms: int | None = None
        self._loop: asyncio.Task[object] | None = None

    async def run(self) -> None:
        """Work until `stop`."""
        self._loop = asyncio.current_task()
        listener = self._db.listen(Topic.JOBS)
        stopping = asyncio.create_task(self._stopping.wait())
        stopping.add_done_callback(lambda _: listener.close())
        try:
            while not self._stopping.is_set():
                try:
                    await self._turn()
                except Exception:  # noqa: BLE001 - the loop's edge
                    _log.exception("jobs.turn_failed", owner=self._owner)
                    await asyncio.wait((stopping,), timeout=POLL_S)
                    continue
                await self._rest(listener, stopping)
        finally:
            stopping.cancel()
            listener.close()

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """Claim no more, let running steps finish, cut off what takes longer; its lease runs out."""
        self._stopping.set()
        if self._loop is not None:  # what it is just claiming is still run
            await asyncio.wait((self._loop,), timeout=timeout_s)
        running = set(self._running)
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def run_due(self) -> int:
        """Run every cron and job that is due, and what becomes due by that; returns how many jobs ran."""
        ran = 0
        while True:
            await self._turn()
            if not self._running:
                return ran
            ran += len(self._running)
            await asyncio.gather(*self._running)

    async def _turn(self) -> None:
        await self._tick()
        free = MOST_AT_ONCE - len(self._running)
        if free <= 0:
            return
        now_ms = self._clock.now_ms()

        def claim(uow: UnitOfWork) -> tuple[tuple[Job, ...], int | None]:
            return uow.jobs.claim(self._owner, now_ms, self._lease_ms, free), uow.jobs.next_run_ms()

        jobs, self._next_ms = await self._db.write(claim)
        for job in jobs:
            task = asyncio.create_task(self._run_job(job), name=job.key)
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _tick(self) -> None:
        """Run the crons whose tick has begun: the unique key of a tick lets one worker do it, in one transaction."""
        for cron in self._crons:
            now_ms = self._clock.now_ms()
            if now_ms < self._cron_due_ms[cron.name]:
                continue
            try:
                await self._run_cron(cron, now_ms)
                self._cron_due_ms[cron.name] = cron.next_ms(now_ms)
            except Exception:  # noqa: BLE001 - the loop's edge
                # Rolled back with its key: this or another worker tries the tick again.
                _log.exception("jobs.cron_failed", cron=cron.name, key=cron.key(now_ms))
                self._cron_due_ms[cron.name] = now_ms + SECOND_MS

    async def _run_cron(self, cron: Cron, now_ms: int) -> None:
        key = cron.key(now_ms)
        tick = Job(JobId(key), "cron", key, now_ms, state=JobState.DONE)

        def once(uow: UnitOfWork) -> None:
            if uow.jobs.add(tick):
                cron.fn(uow, now_ms)
                self._on_step(f"{cron.name}:cron:acted")

        self._on_step(f"{cron.name}:cron:before")
        await self._db.write(once)
        self._on_step(f"{cron.name}:cron:after")

    async def _rest(self, listener: Listener, stopping: asyncio.Task[Literal[True]]) -> None:
        """Wait until something can be done: a commit, the next due time, or room for one more job."""
        if len(self._running) < MOST_AT_ONCE:
            await listener.wait(self._sleep_s())
        else:
            full = {stopping, *self._running}
            await asyncio.wait(full, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)

    def _sleep_s(self) -> float:
        dues = list(self._cron_due_ms.values())
        if self._next_ms is not None:
            dues.append(self._next_ms)
        wait_ms = min(dues, default=self._clock.now_ms() + MINUTE_MS) - self._clock.now_ms()
        return min(POLL_S, max(0, wait_ms) / 1_000)

    async def _run_job(self, job: Job) -> None:
        handler = self._handlers.get(job.kind)
        if handler is None:
            await self._put_off(job, f"no handler for {job.kind}", UNKNOWN_KIND_MS)
            return
        step = Step(self._db, self._clock, job, self._on_step)
        work = asyncio.create_task(handler.run(job, step), name=step.key)
        renewing = asyncio.create_task(self._renew(job, step, work))
        try:
            self._on_step(f"{job.kind}:{job.step}:before")
            await asyncio.wait((work,))
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            renewing.cancel()
        await self._ended(job, step, work)

    async def _ended(self, job: Job, step: Step, work: asyncio.Task[None]) -> None:
        """See how a run ended; one that did not commit is tried again or given up."""
        if work.cancelled():
            return  # the lease was lost to another worker
        error = work.exception()
        if step.committed:
            if error is not None:
                _log.error("jobs.failed_after_commit", job=job.key, exc_info=error)
            return
        if error is None:
            error = Internal("the handler ended without a commit")
        _log.warning("jobs.failed", job=job.key, step=job.step, tries=job.attempts, exc_info=error)
        text = error.message if isinstance(error, DecentError) else repr(error)
        if isinstance(error, DecentError) and error.kind in _HOPELESS:
            await self._give_up(job, text)
        else:
            await self._put_off(job, text, backoff_ms(job.attempts))

    async def _renew(self, job: Job, step: Step, work: asyncio.Task[None]) -> None:
        """Keep the lease while the handler runs; when another worker has the job, stop."""
        while not step.committed:
            await asyncio.sleep(self._lease_ms / 3_000)
            renewed = replace(job, lease_until_ms=self._clock.now_ms() + self._lease_ms)
            try:
                await self._advance(job, renewed)
            except StaleVersion:
                if not step.committed:
                    _log.warning("jobs.lease_lost", job=job.key)
                    work.cancel()
                return
            except Exception:  # noqa: BLE001 - the loop's edge
                _log.exception("jobs.renewal_failed", job=job.key)

    async def _put_off(self, job: Job, error: str, wait_ms: int) -> None:
        run_at_ms = self._clock.now_ms() + wait_ms
        await self._set_aside(replace(job, run_at_ms=run_at_ms), job, error)

    async def _give_up(self, job: Job, error: str) -> None:
        dead = replace(job, state=JobState.DEAD, run_at_ms=self._clock.now_ms())
        await self._set_aside(dead, job, error)

    async def _set_aside(self, after: Job, job: Job, error: str) -> None:
        freed = replace(after, error=error[:MOST_ERROR_CHARS], owner="", lease_until_ms=0)
        try:
            await self._advance(job, freed)
        except StaleVersion:
            _log.warning("jobs.lease_lost", job=job.key)
        except Exception:  # noqa: BLE001 - the loop's edge
            # The lease runs out, then any worker takes it up.
            _log.exception("jobs.not_set_aside", job=job.key)

    async def _advance(self, job: Job, after: Job) -> None:
        await self._db.write(lambda uow: uow.jobs.advance(job, after))

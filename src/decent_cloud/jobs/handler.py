"""What a job's code sees: read, act outside, then one guarded commit that also moves the job on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import Database, UnitOfWork
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.status import JobState

T = TypeVar("T")

Hook = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Next:
    """Where a job goes after a commit; `step` and `data` None keep what the job has."""

    state: JobState
    run_at_ms: int = 0
    step: str | None = None
    data: str | None = None
    error: str = ""

    @classmethod
    def done(cls) -> Next:
        """End the job: all its effects are in."""
        return cls(JobState.DONE)

    @classmethod
    def again(cls, run_at_ms: int, step: str | None = None, data: str | None = None) -> Next:
        """Run the job again, at its next step or at this one."""
        return cls(JobState.READY, run_at_ms, step, data)

    @classmethod
    def dead(cls, error: str) -> Next:
        """Give the job up, for a person to look at."""
        return cls(JobState.DEAD, error=error)

    def applied(self, job: Job, now_ms: int) -> Job:
        """Return the job as it stands afterwards: free for any worker, its failures forgotten."""
        return replace(
            job,
            state=self.state,
            run_at_ms=self.run_at_ms if self.state is JobState.READY else now_ms,
            step=job.step if self.step is None else self.step,
            data=job.data if self.data is None else self.data,
            error=self.error,
            owner="",
            lease_until_ms=0,
            attempts=0,
        )


class Step:
    """One run of one job, from its claim to its single commit."""

    def __init__(self, database: Database, clock: Clock, job: Job, on_step: Hook) -> None:
        self._database = database
        self._clock = clock
        self._job = job
        self._on_step = on_step
        self.committed = False

    @property
    def key(self) -> str:
        """The idempotency key for what this step does outside: the same in every try of the step."""
        return f"{self._job.key}:{self._job.step}"

    def now_ms(self) -> int:
        """Return what time it is."""
        return self._clock.now_ms()

    async def read(self, fn: Callable[[UnitOfWork], T]) -> T:
        """Read what the step needs to decide."""
        return await self._database.read(fn)

    async def commit(self, fn: Callable[[UnitOfWork], Next]) -> Next:
        """Write the step's effects and the job's next place in one transaction, once a run.

        Errors: StaleVersion if another worker has claimed the job since; then nothing was written.
        """
        if self.committed:
            raise Internal("a step commits once a run", job=self._job.key)
        now_ms = self.now_ms()

        def guarded(uow: UnitOfWork) -> Next:
            after = fn(uow)
            uow.jobs.advance(self._job, after.applied(self._job, now_ms))
            return after

        self._on_step(f"{self._job.kind}:{self._job.step}:acted")
        after = await self._database.write(guarded)
        self.committed = True
        self._on_step(f"{self._job.kind}:{self._job.step}:after")
        return after


class Handler(Protocol):
    """The code of one kind of job. External calls sit between `read` and `commit`, with `step.key`."""

    @property
    def kind(self) -> str:
        """The kind of job that this runs."""
        ...

    async def run(self, job: Job, step: Step) -> None:
        """Do one step of the job and commit it; an exception is a retry with backoff."""
        ...


@dataclass(frozen=True, slots=True)
class Cron:
    """Work that comes round: `fn(uow, now_ms)` runs in one transaction, once a tick over all workers."""

    name: str
    every_ms: int
    fn: Callable[[UnitOfWork, int], object]

    def key(self, now_ms: int) -> str:
        """Return the unique key of the tick that `now_ms` lies in."""
        return f"{self.name}:{now_ms // self.every_ms}"

    def next_ms(self, now_ms: int) -> int:
        """Return when the next tick begins."""
        return (now_ms // self.every_ms + 1) * self.every_ms

"""Where background work is kept: a step-cursor job table, claimed with fences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from decent_cloud.kernel.ids import JobId
from decent_cloud.kernel.status import JobState


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of background work. `key` is unique for ever; `data` is JSON; `step` names where it
    stands.

    `fence` grows with each claim; only the newest claim may advance the job.
    """

    id: JobId
    kind: str
    key: str
    run_at_ms: int
    data: str = "{}"
    step: str = ""
    state: JobState = JobState.READY
    owner: str = ""
    lease_until_ms: int = 0
    fence: int = 0
    attempts: int = 0
    error: str = ""


class Jobs(Protocol):
    """The job table."""

    def add(self, job: Job) -> bool:
        """Store a job unless its key exists; tells whether it was new. The id may equal the key."""
        ...

    def get(self, key: str) -> Job | None:
        """Return a job by key."""
        ...

    def claim(self, owner: str, now_ms: int, lease_ms: int, limit: int) -> tuple[Job, ...]:
        """Take due ready jobs whose lease is over: sets owner, lease, fence + 1, attempts + 1."""
        ...

    def advance(self, claimed: Job, after: Job) -> None:
        """Write `after` (step, state, run_at_ms, data, error, lease) if fence and step are still as
        claimed.

        Errors: StaleVersion if another worker has claimed or advanced it since.
        """
        ...

    def next_run_ms(self) -> int | None:
        """Return when the next ready job is due (or its lease over), None if there is none."""
        ...

    def dead(self, limit: int) -> tuple[Job, ...]:
        """Return jobs that gave up, newest first."""
        ...

    def count_by_state(self) -> Mapping[JobState, int]:
        """Count all jobs; states that none is in may be missing."""
        ...

    def drop_done(self, before_ms: int) -> int:
        """Remove done jobs that last ran before; returns how many."""
        ...

"""Jobs, events, requests and what the platform knows of itself in dictionaries."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.requests import StoredAnswer
from decent_cloud.app.ports.unit_of_work import Topic
from decent_cloud.kernel.errors import Conflict, StaleVersion
from decent_cloud.kernel.status import JobState, ServerMode


class MemoryJobs:
    """Keeps the port `Jobs`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._jobs: Table[Job] = Table(journal)

    def add(self, job: Job) -> bool:
        self._journal.topics.add(Topic.JOBS)
        if any(job.id == other.id or job.key == other.key for other in self._jobs):
            return False
        self._jobs.add(job, job.id)
        return True

    def get(self, key: str) -> Job | None:
        return next((job for job in self._jobs if job.key == key), None)

    def claim(self, owner: str, now_ms: int, lease_ms: int, limit: int) -> tuple[Job, ...]:
        due = [job for job in self._ready() if _runs_at_ms(job) <= now_ms]
        due.sort(key=lambda job: (job.run_at_ms, job.id))
        claimed = tuple(
            replace(
                job,
                owner=owner,
                lease_until_ms=now_ms + lease_ms,
                fence=job.fence + 1,
                attempts=job.attempts + 1,
            )
            for job in due[:limit]
        )
        for job in claimed:
            self._jobs.put(job, job.id)
        return claimed

    def advance(self, claimed: Job, after: Job) -> None:
        stored = self._jobs.get(claimed.id)
        ready = stored is not None and stored.state is JobState.READY
        if stored is None or not ready or _claim(stored) != _claim(claimed):
            raise StaleVersion("another worker has this job", job=claimed.key)
        mine = (stored.id, stored.kind, stored.key, stored.fence)
        self._jobs.put(
            replace(after, id=mine[0], kind=mine[1], key=mine[2], fence=mine[3]), stored.id
        )
        if not after.lease_until_ms:  # a renewed lease gives nobody anything to do
            self._journal.topics.add(Topic.JOBS)

    def next_run_ms(self) -> int | None:
        return min((_runs_at_ms(job) for job in self._ready()), default=None)

    def dead(self, limit: int) -> tuple[Job, ...]:
        found = [job for job in self._jobs if job.state is JobState.DEAD]
        found.sort(key=lambda job: (job.run_at_ms, job.id), reverse=True)
        return tuple(found[:limit])

    def count_by_state(self) -> dict[JobState, int]:
        return Counter(job.state for job in self._jobs)

    def drop_done(self, before_ms: int) -> int:
        return self._jobs.remove_where(
            lambda job: job.state is JobState.DONE and job.run_at_ms < before_ms
        )

    def _ready(self) -> list[Job]:
        return [job for job in self._jobs if job.state is JobState.READY]


def _claim(job: Job) -> tuple[int, str, str]:
    return job.fence, job.step, job.owner


def _runs_at_ms(job: Job) -> int:
    return max(job.run_at_ms, job.lease_until_ms)


class MemoryOutbox:
    """Keeps the port `Outbox`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._events: Table[Event] = Table(journal)

    def append(self, event: Event) -> None:
        seq = self.last_seq() + 1
        self._events.add(replace(event, data=dict(event.data), seq=seq), seq)
        self._journal.topics.add(Topic.OUTBOX)

    def read(self, after_seq: int, limit: int) -> tuple[Event, ...]:
        return tuple([event for event in self._events if event.seq > after_seq][:limit])

    def read_stream(self, stream: str, after_seq: int, limit: int) -> tuple[Event, ...]:
        mine = [event for event in self._events if event.stream == stream]
        return tuple([event for event in mine if event.seq > after_seq][:limit])

    def last_seq(self) -> int:
        return max((event.seq for event in self._events), default=0)

    def drop(self, before_ms: int) -> int:
        newest = self.last_seq()
        return self._events.remove_where(
            lambda event: event.at_ms < before_ms and event.seq < newest
        )


class MemoryRequests:
    """Keeps the port `Requests`."""

    def __init__(self, journal: Journal) -> None:
        self._nonces: Table[int] = Table(journal)
        self._answers: Table[StoredAnswer] = Table(journal)

    def use_nonce(self, keyid: str, nonce: str, expires_at_ms: int) -> bool:
        if self._nonces.get(keyid, nonce) is not None:
            return False
        self._nonces.add(expires_at_ms, keyid, nonce)
        return True

    def answer(self, caller: str, key: str) -> StoredAnswer | None:
        return self._answers.get(caller, key)

    def store_answer(self, answer: StoredAnswer) -> None:
        self._answers.add(answer, answer.caller, answer.key)

    def drop_before(self, nonces_expired_ms: int, answers_created_ms: int) -> int:
        return self._nonces.remove_where(
            lambda expires_at_ms: expires_at_ms < nonces_expired_ms
        ) + self._answers.remove_where(lambda answer: answer.created_at_ms < answers_created_ms)


class MemoryPlatform:
    """Keeps the port `PlatformStore`."""

    def __init__(self, journal: Journal) -> None:
        self._stamp: Table[tuple[ServerMode, str]] = Table(journal)
        self._tick: Table[int] = Table(journal)

    def mode(self) -> ServerMode | None:
        stamp = self._stamp.get()
        return stamp[0] if stamp else None

    def platform_id(self) -> str:
        stamp = self._stamp.get()
        return stamp[1] if stamp else ""

    def stamp(self, mode: ServerMode, platform_id: str) -> None:
        stored = self._stamp.get()
        if stored is None:
            self._stamp.put((mode, platform_id))
        elif stored != (mode, platform_id):
            raise Conflict("this database belongs to another platform")

    def last_tick_ms(self) -> int:
        return self._tick.get() or 0

    def tick(self, last_ms: int, now_ms: int) -> bool:
        if self.last_tick_ms() != last_ms:
            return False
        self._tick.put(now_ms)
        return True

"""The job table in SQL: claimed with fences, advanced by compare-and-swap."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import Topic
from decent_cloud.kernel.errors import StaleVersion
from decent_cloud.kernel.status import JobState

_JOBS = Rows(Job, "jobs", ("id",))

_DUE = (
    "SELECT id FROM jobs WHERE state = 'ready' AND run_at_ms <= :now AND lease_until_ms <= :now"
    " ORDER BY run_at_ms, id LIMIT :limit"
)
_CLAIM = (
    "UPDATE jobs SET owner = :owner, lease_until_ms = :lease_until, fence = fence + 1,"
    f" attempts = attempts + 1 WHERE id IN ({{due}}) RETURNING {_JOBS.columns}"
)
_CLAIM_SQLITE = _CLAIM.format(due=_DUE)
# Two claimers take different jobs instead of waiting for each other.
_CLAIM_POSTGRES = _CLAIM.format(due=f"{_DUE} FOR UPDATE SKIP LOCKED")
_ADVANCE = (
    "UPDATE jobs SET step = :step, state = :state, run_at_ms = :run_at, data = :data,"
    " error = :error, owner = :owner, lease_until_ms = :lease_until, attempts = :attempts"
    " WHERE id = :id AND fence = :fence AND step = :claimed_step AND owner = :claimed_owner"
    " AND state = 'ready'"
)
# Jobs that wait are found at the head of one index, the few that are held in another.
_NEXT = """
SELECT min(at_ms) FROM (
  SELECT at_ms FROM (
    SELECT run_at_ms AS at_ms FROM jobs WHERE state = 'ready' AND lease_until_ms = 0
    ORDER BY run_at_ms LIMIT 1
  ) AS waiting
  UNION ALL
  SELECT CASE WHEN lease_until_ms > run_at_ms THEN lease_until_ms ELSE run_at_ms END
  FROM jobs WHERE state = 'ready' AND lease_until_ms > 0
) AS either
"""


class SqlJobs:
    """Keeps the port `Jobs`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, job: Job) -> bool:
        self._session.touched(Topic.JOBS)
        values = _JOBS.written(job)
        return self._session.run(f"{_JOBS.insert} ON CONFLICT DO NOTHING", values) == 1

    def get(self, key: str) -> Job | None:
        return _JOBS.one(self._session, "WHERE key = :key", {"key": key})

    def claim(self, owner: str, now_ms: int, lease_ms: int, limit: int) -> tuple[Job, ...]:
        sql = _CLAIM_POSTGRES if self._session.postgres else _CLAIM_SQLITE
        params = {
            "owner": owner,
            "now": now_ms,
            "lease_until": now_ms + lease_ms,
            "limit": limit,
        }
        jobs = [_JOBS.read(row) for row in self._session.rows(sql, params)]
        return tuple(sorted(jobs, key=lambda job: (job.run_at_ms, job.id)))

    def advance(self, claimed: Job, after: Job) -> None:
        params = {
            "id": claimed.id,
            "fence": claimed.fence,
            "claimed_step": claimed.step,
            "claimed_owner": claimed.owner,
            "step": after.step,
            "state": after.state.value,
            "run_at": after.run_at_ms,
            "data": after.data,
            "error": after.error,
            "owner": after.owner,
            "lease_until": after.lease_until_ms,
            "attempts": after.attempts,
        }
        if self._session.run(_ADVANCE, params) == 0:
            raise StaleVersion("another worker has this job", job=claimed.key)
        if not after.lease_until_ms:  # a renewed lease gives nobody anything to do
            self._session.touched(Topic.JOBS)

    def next_run_ms(self) -> int | None:
        row = self._session.row(_NEXT, {})
        return None if row is None or row[0] is None else int(row[0])

    def dead(self, limit: int) -> tuple[Job, ...]:
        tail = "WHERE state = 'dead' ORDER BY run_at_ms DESC, id DESC LIMIT :limit"
        return _JOBS.all(self._session, tail, {"limit": limit})

    def count_by_state(self) -> dict[JobState, int]:
        rows = self._session.rows("SELECT state, count(*) FROM jobs GROUP BY state", {})
        return {JobState(state): int(count) for state, count in rows}

    def drop_done(self, before_ms: int) -> int:
        sql = "DELETE FROM jobs WHERE state = 'done' AND run_at_ms < :before"
        return self._session.run(sql, {"before": before_ms})

"""Background work of keeping house: what nobody can ask for any more is removed."""

from __future__ import annotations

from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.jobs.handler import Cron
from decent_cloud.kernel.clock import DAY_MS, MINUTE_MS

EVERY_MS = 10 * MINUTE_MS
ANSWERS_KEPT_MS = 30 * DAY_MS  # as long as an idempotency key is promised to work
EVENTS_KEPT_MS = 7 * DAY_MS  # how long a stream can be resumed
JOBS_KEPT_MS = 2 * DAY_MS


def sweep() -> Cron:
    """Return the cron that removes old nonces, answers, events, jobs and pairings."""
    return Cron("housekeeping", EVERY_MS, _sweep)


def _sweep(uow: UnitOfWork, now_ms: int) -> None:
    uow.requests.drop_before(now_ms, now_ms - ANSWERS_KEPT_MS)
    uow.outbox.drop(now_ms - EVENTS_KEPT_MS)
    uow.jobs.drop_done(now_ms - JOBS_KEPT_MS)
    uow.providers.drop_pairings(now_ms)

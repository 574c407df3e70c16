"""Background work of releases: once an hour, book what running contracts have earned."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.releases import release_earned
from decent_cloud.jobs.handler import Cron, Next, Step
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.ids import JobId

SWEEP_KIND = "release.sweep"
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class _Data:
    after: str = ""


class SweepReleases:
    """Walks over all contracts that earn, a few in each transaction; its cursor is in the job."""

    kind = SWEEP_KIND

    async def run(self, job: Job, step: Step) -> None:
        """Release for the next few contracts; a repeated step books nothing twice."""
        after = from_json(job.data, _Data).after
        await step.commit(lambda uow: _sweep(uow, after, step.now_ms()))


def hourly() -> Cron:
    """Return the cron that starts a sweep every hour."""
    return Cron("releases.hourly", HOUR_MS, _start)


def _start(uow: UnitOfWork, now_ms: int) -> None:
    key = f"{SWEEP_KIND}:{now_ms // HOUR_MS}"
    uow.jobs.add(Job(JobId(key), SWEEP_KIND, key, now_ms))


def _sweep(uow: UnitOfWork, after: str, now_ms: int) -> Next:
    ids = uow.contracts.releasable(AT_ONCE, after)
    for id_ in ids:
        contract = uow.contracts.get(id_)
        if contract is not None:
            release_earned(uow, contract, now_ms)
    if len(ids) < AT_ONCE:
        return Next.done()
    return Next.again(now_ms, data=to_json({"after": ids[-1]}).decode())

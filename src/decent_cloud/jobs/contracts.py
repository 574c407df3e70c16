"""Background work of contracts: tick, wait out outages, and apply each deadline at its moment."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.app import contracts, platform, renewals, steps, suspensions
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.suspensions import Stand
from decent_cloud.jobs.handler import Cron, Next, Step
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.ids import ContractId, JobId

DEADLINE_KIND = "contract.deadline"
AT_ONCE = 500
REVIEW_AGAIN_MS = MINUTE_MS
LOOK_AGAIN_MS = 10 * MINUTE_MS
SURE_AFTER_MS = 5 * MINUTE_MS
_SEEN_RUNNING = "seen_running"


@dataclass(frozen=True, slots=True)
class _Data:
    contract: ContractId


@dataclass(frozen=True, slots=True)
class _Renewal:
    contract: ContractId
    ordinal: int


@dataclass(frozen=True, slots=True)
class _Suspension:
    contract: ContractId
    since_ms: int


class ApplyDeadline:
    """Moves one contract whose deadline has passed; one that cannot be moved holds up no other."""

    kind = DEADLINE_KIND

    async def run(self, job: Job, step: Step) -> None:
        """Apply the deadline in one commit; a contract that moved on meanwhile needs nothing."""
        contract = from_json(job.data, _Data).contract
        await step.commit(lambda uow: _apply(uow, contract, step.now_ms()))


class RenewContract:
    """Renews one contract when its time has come, and tries again while its tenant's credit is short."""

    kind = steps.RENEW_KIND

    async def run(self, job: Job, step: Step) -> None:
        """Renew in one commit; a contract that was extended or ended meanwhile needs nothing."""
        renewal = from_json(job.data, _Renewal)
        await step.commit(lambda uow: _renew(uow, renewal, step.now_ms()))


class EndRunning:
    """Ends a suspended contract whose machine runs on because nobody can stop it: twice seen, some time apart."""

    kind = steps.SUSPENDED_KIND

    async def run(self, job: Job, step: Step) -> None:
        """Look, and end it at the second look that finds the machine running."""
        found = from_json(job.data, _Suspension)
        seen = job.step == _SEEN_RUNNING
        await step.commit(lambda uow: _end_running(uow, found, step.now_ms(), seen=seen))


def tick() -> Cron:
    """Return the cron that keeps deadlines, every 10 s."""
    return Cron("contracts.tick", platform.TICK_MS, _tick)


def _tick(uow: UnitOfWork, now_ms: int) -> None:
    """Account for a gap first, then set an alarm for each deadline before the next tick."""
    platform.tick(uow, now_ms)
    for contract in uow.contracts.due(now_ms + platform.TICK_MS, AT_ONCE):
        # The version is in the key: another deadline of the same contract is another job.
        key = f"{DEADLINE_KIND}:{contract.id}:{contract.version}"
        data = to_json({"contract": contract.id}).decode()
        run_at_ms = max(now_ms, contract.deadline_ms)
        uow.jobs.add(Job(JobId(key), DEADLINE_KIND, key, run_at_ms, data))


def _apply(uow: UnitOfWork, contract: ContractId, now_ms: int) -> Next:
    if platform.asleep(uow, now_ms):
        return Next.again(now_ms + platform.TICK_MS)
    if not contracts.apply_deadline(uow, contract, now_ms):
        return Next.again(now_ms + REVIEW_AGAIN_MS)
    return Next.done()


def _renew(uow: UnitOfWork, renewal: _Renewal, now_ms: int) -> Next:
    again_ms = renewals.renew(uow, renewal.contract, renewal.ordinal, now_ms)
    return Next.again(again_ms) if again_ms else Next.done()


def _end_running(uow: UnitOfWork, found: _Suspension, now_ms: int, *, seen: bool) -> Next:
    if platform.asleep(uow, now_ms):
        return Next.again(now_ms + platform.TICK_MS)
    stand = suspensions.stand(uow, found.contract, found.since_ms, now_ms)
    if stand is Stand.OVER:
        return Next.done()
    if stand is not Stand.RUNS:
        return Next.again(now_ms + LOOK_AGAIN_MS, step="")
    if not seen:
        return Next.again(now_ms + SURE_AFTER_MS, step=_SEEN_RUNNING)
    suspensions.end(uow, found.contract, found.since_ms, now_ms)
    return Next.done()

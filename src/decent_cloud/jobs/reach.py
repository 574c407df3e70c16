"""Background work of reachability: look from outside until a new instance answers, or has failed to for too long."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.app import contracts, steps
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.reach import Reach, Reached, ReachResult
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import UNREACHABLE_MS, ContractEvent
from decent_cloud.jobs.handler import Next, Step
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ContractState

ACTOR = "platform/reach"
SUSPENDED_AGAIN_MS = MINUTE_MS
LONGEST_STEP_MS = MINUTE_MS  # a longer time between two checks was not watched, and does not count
_PACE = ((30, 2 * SECOND_MS), (60, 5 * SECOND_MS))  # up to so many checks, so long apart
_SLOW_MS = 15 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Watch:
    """What one watch has seen: checks made, when the last healthy one was, and the failed time since the first."""

    contract: ContractId
    checks: int = 0
    last_ms: int = 0
    failed_ms: int = 0


class CheckReach:
    """Checks one contract's instance until its paid time can begin."""

    kind = steps.REACH_KIND

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def run(self, job: Job, step: Step) -> None:
        """Check once and commit what it means; a check changes nothing outside, so repeating it is safe."""
        watch = from_json(job.data, Watch)
        contract = await step.read(lambda uow: contracts.get_contract(uow, watch.contract))
        if contract.state is not ContractState.PROVISIONED:
            await step.commit(lambda uow: _elsewhere(uow, watch, step.now_ms()))
            return
        found = await self._reach.check(contract.host, contract.port, contract.host_keys)
        await step.commit(lambda uow: _apply(uow, watch, contract, found, step.now_ms()))


def after_check(watch: Watch, found: ReachResult, now_ms: int) -> Watch:
    """Count a check: failed time runs between two healthy looks; a blind vantage point says nothing."""
    if found.reached is Reached.BLIND:
        return replace(watch, checks=watch.checks + 1, last_ms=0)
    step_ms = now_ms - watch.last_ms if watch.last_ms else 0
    counted_ms = step_ms if 0 < step_ms <= LONGEST_STEP_MS else 0
    return replace(
        watch, checks=watch.checks + 1, last_ms=now_ms, failed_ms=watch.failed_ms + counted_ms
    )


def pace_ms(checks: int) -> int:
    """Return how long to wait after so many checks: 2 s at first, 15 s in the end."""
    return next((wait_ms for limit, wait_ms in _PACE if checks <= limit), _SLOW_MS)


def _apply(
    uow: UnitOfWork, watch: Watch, looked_at: Contract, found: ReachResult, now_ms: int
) -> Next:
    contract = contracts.get_contract(uow, watch.contract)
    if contract.state is not ContractState.PROVISIONED or contract.host != looked_at.host:
        return _elsewhere(uow, watch, now_ms)
    if found.reached is Reached.OK:
        _advance(uow, contract, ContractEvent.REACHED, found, now_ms)
        return Next.done()
    after = after_check(watch, found, now_ms)
    if after.failed_ms >= UNREACHABLE_MS:
        _advance(uow, contract, ContractEvent.UNREACHABLE, found, now_ms)
        return Next.done()
    return Next.again(now_ms + pace_ms(after.checks), data=to_json(after).decode())


def _advance(
    uow: UnitOfWork, contract: Contract, event: ContractEvent, found: ReachResult, now_ms: int
) -> None:
    reason = "" if event is ContractEvent.REACHED else found.reached.value
    steps.advance(
        uow,
        contract,
        event,
        actor=ACTOR,
        now_ms=now_ms,
        reason=reason,
        evidence=f"{found.detail} ({found.took_ms} ms)",
    )


def _elsewhere(uow: UnitOfWork, watch: Watch, now_ms: int) -> Next:
    """The contract is in another state: wait while it is suspended, else there is nothing left to find out."""
    contract = contracts.get_contract(uow, watch.contract)
    if contract.state is ContractState.SUSPENDED:
        return Next.again(now_ms + SUSPENDED_AGAIN_MS)
    if contract.state is ContractState.PROVISIONED:
        return Next.again(now_ms)
    return Next.done()

"""Suspensions of machines that nobody can stop: they may run on for a day, then the contract ends."""

from __future__ import annotations

from enum import StrEnum

from decent_cloud.app import steps
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts import instance
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import ContractState

ACTOR = "platform/suspension"
REASON = "suspended, and the machine cannot be stopped"


class Stand(StrEnum):
    """How the machine of a suspended contract stands."""

    OVER = "over"  # this suspension has ended
    RUNS = "runs"  # and an agent of its backend, who knows that it should not, was heard lately
    UNCLEAR = "unclear"  # it stands still, or nobody who sees it was heard


def stand(uow: UnitOfWork, contract_id: ContractId, since_ms: int, now_ms: int) -> Stand:
    """Tell how the machine of a contract stands that was suspended at `since_ms`."""
    contract = _suspended(uow, contract_id, since_ms)
    if contract is None:
        return Stand.OVER
    found = uow.assignments.get(contract_id)
    if found is None or not instance.runs(found) or not _watched(uow, found, now_ms):
        return Stand.UNCLEAR
    return Stand.RUNS


def end(uow: UnitOfWork, contract_id: ContractId, since_ms: int, now_ms: int) -> None:
    """End a suspended contract, with the refund of its deadline; what is over already stays as it is."""
    contract = _suspended(uow, contract_id, since_ms)
    if contract is not None:
        event = ContractEvent.DEADLINE_PASSED
        steps.advance(uow, contract, event, actor=ACTOR, now_ms=now_ms, reason=REASON)


def _suspended(uow: UnitOfWork, contract_id: ContractId, since_ms: int) -> Contract | None:
    found = uow.contracts.get(contract_id)
    if found is None or found.state is not ContractState.SUSPENDED:
        return None
    return found if found.state_since_ms == since_ms else None


def _watched(uow: UnitOfWork, assignment: Assignment, now_ms: int) -> bool:
    """Tell whether an agent of the machine's own backend was heard lately: only such a one could stop it."""
    return any(
        presence.scope == assignment.scope and presence.online(now_ms)
        for presence in uow.providers.presences(assignment.provider)
    )

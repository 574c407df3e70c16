"""A contract with all that a page or an answer shows beside it, read in one go."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.app.agents import agent_online
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import Contract, Term
from decent_cloud.domain.contracts.lifecycle import CONTRACT
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.ids import Kid
from decent_cloud.kernel.status import AssignmentState


@dataclass(frozen=True, slots=True)
class ContractDetails:
    """A contract as tenant or provider sees it. `waits_for` is who must move it on, empty at the end."""

    contract: Contract
    terms: tuple[Term, ...]
    payments: tuple[Payment, ...]
    refunds: tuple[Refund, ...]
    credential_n: int  # 0 = none yet
    agent_connected: bool
    waits_for: str


def contract_details(uow: UnitOfWork, contract: Contract, now_ms: int) -> ContractDetails:
    """Read what belongs to a contract; who may see it is the caller's to check."""
    newest = uow.contracts.credential(contract.id)
    keeper = CONTRACT.keepers.get(contract.state)
    return ContractDetails(
        contract=contract,
        terms=uow.contracts.terms(contract.id),
        payments=uow.payments.of_contract(contract.id),
        refunds=uow.payments.refunds_of(contract.id),
        credential_n=newest.n if newest else 0,
        agent_connected=_connected(uow, contract, now_ms),
        waits_for=keeper.owner if keeper else "",
    )


def _connected(uow: UnitOfWork, contract: Contract, now_ms: int) -> bool:
    """Tell whether an agent that can do something for this contract was heard lately."""
    assignment = uow.assignments.get(contract.id)
    if assignment is None or assignment.state is AssignmentState.OPEN:
        return agent_online(uow, contract.provider, contract.pool, now_ms)
    return _holder_online(uow, assignment, now_ms)


def _holder_online(uow: UnitOfWork, assignment: Assignment, now_ms: int) -> bool:
    holder = uow.providers.presence(assignment.provider, Kid(assignment.holder))
    if holder is not None and holder.online(now_ms):
        return True
    # Another agent of the same backend sees the same instance.
    return bool(assignment.scope) and any(
        one.scope == assignment.scope and one.online(now_ms)
        for one in uow.providers.presences(assignment.provider)
    )

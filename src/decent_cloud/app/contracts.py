"""What tenants and providers do with a contract, and what the platform does when its time has come."""

from __future__ import annotations

from decent_cloud.app import steps
from decent_cloud.app.caller import Caller, require_reader, require_writer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, SealedCredential
from decent_cloud.domain.contracts.lifecycle import ContractEvent, event_at_deadline
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.kernel.errors import Forbidden, Internal, NotFound
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import ContractState, PaymentState
from decent_cloud.wire.v1.contracts import EndContract

PLATFORM = "platform"


class NotYourSide(Forbidden):
    """Only the other side of this contract may do that."""

    code = "not_your_side"


def read_contract(uow: UnitOfWork, caller: Caller, contract_id: ContractId) -> Contract:
    """Show a contract to its tenant or its provider.

    Errors: NotFound for everybody else.
    """
    account = require_reader(caller)
    found = uow.contracts.get(contract_id)
    if found is None or account not in {found.tenant, found.provider}:
        raise NotFound("there is no such contract of yours")
    return found


def list_rented(uow: UnitOfWork, caller: Caller, page: PageRequest) -> Page[Contract]:
    """List the contracts in which the caller is the tenant, newest first."""
    return uow.contracts.of_tenant(require_reader(caller), page)


def list_provided(
    uow: UnitOfWork, caller: Caller, states: tuple[ContractState, ...], page: PageRequest
) -> Page[Contract]:
    """List the contracts in which the caller is the provider, newest first; all states if none is named."""
    return uow.contracts.of_provider(require_reader(caller), states, page)


def history(uow: UnitOfWork, caller: Caller, contract_id: ContractId) -> tuple[HistoryRow, ...]:
    """Show a contract's life, oldest first.

    Errors: NotFound.
    """
    return uow.contracts.history(read_contract(uow, caller, contract_id).id)


def traffic(uow: UnitOfWork, caller: Caller, contract_id: ContractId) -> Traffic | None:
    """Show both sides what a contract's machine received and sent; None if nobody ever told.

    Errors: NotFound.
    """
    return uow.contracts.traffic(read_contract(uow, caller, contract_id).id)


def read_credential(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId
) -> tuple[Contract, SealedCredential]:
    """Return the newest sealed credential to a device of the tenant.

    Errors: NotFound, NotYourSide.
    """
    contract = read_contract(uow, caller, contract_id)
    if caller.account != contract.tenant:
        raise NotYourSide
    found = uow.contracts.credential(contract.id)
    if found is None:
        raise NotFound("there is no credential yet; it comes when the machine is ready")
    return contract, found


def accept(uow: UnitOfWork, caller: Caller, contract_id: ContractId, now_ms: int) -> Contract:
    """Say yes to an order, as its provider.

    Errors: NotFound, NotYourSide, IllegalTransition.
    """
    return _by_provider(uow, caller, contract_id, ContractEvent.ACCEPTED, now_ms)


def reject(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: EndContract, now_ms: int
) -> Contract:
    """Say no to an order, as its provider: the tenant gets everything back.

    Errors: NotFound, NotYourSide, IllegalTransition.
    """
    event = ContractEvent.REJECTED
    return _by_provider(uow, caller, contract_id, event, now_ms, command.reason)


def terminate(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: EndContract, now_ms: int
) -> Contract:
    """End a contract early, as its provider: the unserved part goes back, and the stated penalty with it.

    Errors: NotFound, NotYourSide, IllegalTransition.
    """
    event = ContractEvent.TERMINATED
    return _by_provider(uow, caller, contract_id, event, now_ms, command.reason)


def confirm(uow: UnitOfWork, caller: Caller, contract_id: ContractId, now_ms: int) -> Contract:
    """Say that the machine answers, as its tenant: the paid time begins.

    Errors: NotFound, NotYourSide, IllegalTransition.
    """
    return _by_tenant(uow, caller, contract_id, ContractEvent.CONFIRMED, now_ms)


def cancel(
    uow: UnitOfWork, caller: Caller, contract_id: ContractId, command: EndContract, now_ms: int
) -> Contract:
    """End a contract, as its tenant: what was not served is given back.

    Errors: NotFound, NotYourSide, IllegalTransition.
    """
    event = ContractEvent.CANCELLED
    return _by_tenant(uow, caller, contract_id, event, now_ms, command.reason)


def apply_deadline(uow: UnitOfWork, contract_id: ContractId, now_ms: int) -> bool:
    """Do what a passed deadline means; False if it must wait for the review of a payment.

    A deadline that moved, or a contract that ended meanwhile, needs nothing.
    """
    contract = uow.contracts.get(contract_id)
    if contract is None or not 0 < contract.deadline_ms <= now_ms:
        return True
    if contract.state is ContractState.REQUESTED and _in_review(uow, contract):
        return False
    event = event_at_deadline(contract.state)
    steps.advance(uow, contract, event, actor=PLATFORM, now_ms=now_ms)
    return True


def get_contract(uow: UnitOfWork, contract_id: ContractId) -> Contract:
    """Return a contract that must exist; who may see it is the caller's to check.

    Errors: Internal.
    """
    found = uow.contracts.get(contract_id)
    if found is None:
        raise Internal("there is no such contract", contract=contract_id)
    return found


def _in_review(uow: UnitOfWork, contract: Contract) -> bool:
    return any(
        payment.state is PaymentState.HELD_FOR_REVIEW
        for payment in uow.payments.of_contract(contract.id)
    )


def _by_tenant(
    uow: UnitOfWork,
    caller: Caller,
    contract_id: ContractId,
    event: ContractEvent,
    now_ms: int,
    reason: str = "",
) -> Contract:
    require_writer(caller)
    contract = read_contract(uow, caller, contract_id)
    if caller.account != contract.tenant:
        raise NotYourSide
    return steps.advance(uow, contract, event, actor=caller.actor, now_ms=now_ms, reason=reason)


def _by_provider(
    uow: UnitOfWork,
    caller: Caller,
    contract_id: ContractId,
    event: ContractEvent,
    now_ms: int,
    reason: str = "",
) -> Contract:
    require_writer(caller)
    contract = read_contract(uow, caller, contract_id)
    if caller.account != contract.provider:
        raise NotYourSide
    return steps.advance(uow, contract, event, actor=caller.actor, now_ms=now_ms, reason=reason)

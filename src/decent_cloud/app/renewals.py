"""Renewals: a further term for a contract whose order asked for it, paid out of the tenant's credit."""

from __future__ import annotations

from hashlib import sha256

from decent_cloud.app import payments, steps
from decent_cloud.app.orders import payment_open
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract, Term
from decent_cloud.domain.contracts.lifecycle import ContractEvent, renewal_lead_ms
from decent_cloud.domain.ledger import accounts
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.ids import ContractId, Digest, TermId
from decent_cloud.kernel.status import ContractState, OfferingState
from decent_cloud.wire.v1.contracts import PayWith

ACTOR = "platform/renewal"
AGAIN_MS = HOUR_MS  # credit may still come, a suspension may still be lifted


def renew(uow: UnitOfWork, contract_id: ContractId, ordinal: int, now_ms: int) -> int:
    """Append a term after term `ordinal`, at what the first order said; return when to try again, 0 for never.

    Nothing is renewed that was extended by hand, that its provider offers no longer under the same
    terms, or that its tenant's credit does not cover.
    """
    contract = uow.contracts.get(contract_id)
    if contract is None or not contract.renews:
        return 0
    terms = uow.contracts.terms(contract_id)
    if any(term.ordinal > ordinal and term.paid for term in terms):
        return 0
    if contract.state is ContractState.SUSPENDED:
        return now_ms + AGAIN_MS
    if contract.state is not ContractState.ACTIVE or not _still_offered(uow, contract):
        return 0
    due_ms = contract.paid_until_ms - renewal_lead_ms(contract)
    if now_ms < due_ms:
        return due_ms
    if not _covered(uow, contract) or payment_open(uow, contract):
        return now_ms + min(AGAIN_MS, renewal_lead_ms(contract) // 4)
    _append(uow, contract, terms, now_ms)
    return 0


def _still_offered(uow: UnitOfWork, contract: Contract) -> bool:
    offering = uow.offerings.get(contract.offering)
    return (
        offering is not None
        and offering.state is OfferingState.PUBLISHED
        and offering.offer_hash == contract.offer_hash
    )


def _covered(uow: UnitOfWork, contract: Contract) -> bool:
    if contract.self_rental:
        return True
    purse = accounts.credit(contract.tenant, contract.asset)
    debt = accounts.owed(contract.tenant, contract.asset)
    return uow.ledger.balance(debt) == 0 and uow.ledger.balance(purse) >= contract.total_minor


def _append(uow: UnitOfWork, contract: Contract, terms: tuple[Term, ...], now_ms: int) -> None:
    term = Term(
        id=TermId(f"{contract.id}.{len(terms) + 1}"),
        contract=contract.id,
        ordinal=len(terms) + 1,
        hours=contract.hours,
        asset=contract.asset,
        amount_minor=contract.total_minor,
        fee_ppm=terms[-1].fee_ppm,
        order=contract.order,
        digest=_digest(contract, len(terms) + 1),
        paid=contract.self_rental,
    )
    uow.contracts.add_term(term)
    if contract.self_rental:
        event = ContractEvent.EXTENDED
        steps.advance(uow, contract, event, actor=ACTOR, now_ms=now_ms, reason="renewed")
        return
    payments.start(uow, contract.tenant, contract, term, PayWith(method="credit"), now_ms)


def _digest(contract: Contract, ordinal: int) -> Digest:
    """Each term has a digest of its own; a renewal has no order of its own to take it from."""
    return Digest(sha256(f"dcx/renewal/{contract.digest}/{ordinal}".encode()).hexdigest())

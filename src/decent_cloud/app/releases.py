"""Held money becomes the provider's by served time; a provider who ends early pays the stated penalty."""

from __future__ import annotations

from collections import Counter

from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.served import served_ms, served_of_terms
from decent_cloud.domain.ledger import postings
from decent_cloud.domain.ledger.postings import Booking
from decent_cloud.domain.payments.refund_lifecycle import RESERVING
from decent_cloud.domain.payments.releases import earned_since, penalty_minor, with_earned
from decent_cloud.kernel.ids import ContractId, TermId
from decent_cloud.kernel.money import Money


def release_earned(uow: UnitOfWork, contract: Contract, now_ms: int) -> None:
    """Book what each paid term has earned since the last time; nothing twice, never past its end."""
    terms = uow.contracts.terms(contract.id)
    if not any(term.held_minor for term in terms):
        return
    reserved = reserved_of_terms(uow, contract.id)
    shares_ms = served_of_terms(terms, served_ms(contract, now_ms))
    for term, share_ms in zip(terms, shares_ms, strict=True):
        if not share_ms or not term.held_minor:
            continue
        earned = earned_since(term, share_ms, reserved[term.id])
        if not earned.gross_minor:
            continue
        at = Booking(term.id, now_ms, now_ms, k=str(term.version))
        uow.ledger.post(
            postings.release(
                at, term.id, contract.provider, earned.gross_minor, earned.fee_minor, term.asset
            )
        )
        uow.contracts.save_term(with_earned(term, earned))


def reserved_of_terms(uow: UnitOfWork, contract: ContractId) -> Counter[TermId]:
    """Sum what open refunds will still take out of each term's held money."""
    reserved: Counter[TermId] = Counter()
    for refund in uow.payments.refunds_of(contract):
        if refund.state in RESERVING and refund.source == f"held/{refund.term}":
            reserved[refund.term] += refund.amount_minor
    return reserved


def book_penalty(
    uow: UnitOfWork, contract: Contract, now_ms: int, refunded_minor: int
) -> Money | None:
    """Move the stated share of what was refunded from the provider to the tenant's credit, once.

    The provider's earnings may go below 0 by it; the next payouts make up for that.
    """
    amount = Money(penalty_minor(refunded_minor, contract.penalty_ppm), contract.asset)
    if not amount.amount_minor or contract.self_rental:
        return None
    at = Booking(contract.id, now_ms, now_ms)
    uow.ledger.post(postings.penalty(at, contract.provider, contract.tenant, amount))
    return amount

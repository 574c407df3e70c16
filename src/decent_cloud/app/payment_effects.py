"""What a payment's step does to books, refunds and contract: the effects of its lifecycle, carried out in order."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app import refunds, steps
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import CONTRACT, ContractEvent
from decent_cloud.domain.ledger import accounts, postings
from decent_cloud.domain.ledger.accounts import TransferKind
from decent_cloud.domain.ledger.postings import Booking
from decent_cloud.domain.payments import payment_lifecycle as lifecycle
from decent_cloud.domain.payments.losses import share_loss
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.payment_lifecycle import PaymentEvent, Told
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import PaymentId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import PaymentState


def get(uow: UnitOfWork, payment_id: PaymentId) -> Payment:
    """Return a payment that must exist; Internal if it does not."""
    payment = uow.payments.get(payment_id)
    if payment is None:
        raise Internal("there is no such payment", payment=payment_id)
    return payment


def advance(
    uow: UnitOfWork,
    payment: Payment,
    events: tuple[PaymentEvent, ...],
    now_ms: int,
    actor: str,
    received: Money | None = None,
    detail: str = "",
) -> Payment:
    """Step through the events, save once, then carry out their effects; returns the payment as it is then.

    `received` is what the processor really took, given where money came.
    """
    after, effects = payment, list[lifecycle.Effect]()
    for event in events:
        after, more = lifecycle.step(after, event, now_ms, received, detail)
        effects += more
    uow.payments.save(after)
    for effect in effects:
        _carry_out(uow, after, effect, now_ms, actor)
    if events:
        data = {"state": after.state.value, "contract": after.contract}
        uow.outbox.append(Event(f"account/{after.payer}", "payment", after.id, data, now_ms))
    return get(uow, payment.id)


def _carry_out(
    uow: UnitOfWork, payment: Payment, effect: lifecycle.Effect, now_ms: int, actor: str
) -> None:
    at = Booking(payment.id, now_ms, now_ms, k=str(payment.version))
    match effect:
        case lifecycle.Hold(amount):
            _hold(uow, payment, amount, now_ms)
        case lifecycle.SetAside(amount):
            uow.ledger.post(postings.to_suspense(at, payment.processor, payment.id, amount))
        case lifecycle.HoldFromSuspense(amount):
            _hold_from_suspense(uow, payment, amount, now_ms)
        case lifecycle.ReturnSuspense(reason):
            _return_suspense(uow, payment, now_ms, reason)
        case lifecycle.TakeBack():
            took = Money(payment.received_minor, payment.asset)
            uow.ledger.post(postings.dispute_opened(at, payment.processor, payment.id, took, 0))
        case lifecycle.GetBack():
            took = Money(payment.received_minor, payment.asset)
            uow.ledger.post(postings.dispute_won(at, payment.processor, payment.id, took))
        case lifecycle.ShareLoss():
            _share_loss(uow, payment, at)
        case lifecycle.Tell(what, reason):
            _tell(uow, payment, what, now_ms, actor, reason)
        case lifecycle.Alarm(text):
            data = {"text": text, "contract": payment.contract}
            uow.outbox.append(Event(refunds.ALARMS, "alarm", payment.id, data, now_ms))


def _hold(uow: UnitOfWork, payment: Payment, amount: Money, now_ms: int) -> None:
    purses = {"credit": accounts.credit, "prepaid": accounts.prepaid}
    own = purses.get(payment.processor)
    purse = (
        own(payment.payer, amount.asset)
        if own
        else accounts.processor(payment.processor, amount.asset)
    )
    at = Booking(payment.term, now_ms, now_ms)
    uow.ledger.post(postings.order(at, purse, payment.term, amount))
    _mark_paid(uow, payment)


def _hold_from_suspense(uow: UnitOfWork, payment: Payment, amount: Money, now_ms: int) -> None:
    came = set_aside(uow, payment)
    at = Booking(payment.term, now_ms, now_ms)
    uow.ledger.post(postings.review_settled(at, payment.id, payment.term, amount))
    _mark_paid(uow, payment)
    surplus = Money(came.amount_minor - amount.amount_minor, amount.asset)
    if surplus.amount_minor:
        source = f"suspense/{payment.id}"
        refunds.plan(uow, payment, source, surplus, now_ms, "more was paid than asked")


def _return_suspense(uow: UnitOfWork, payment: Payment, now_ms: int, reason: str) -> None:
    came = set_aside(uow, payment)
    if came.amount_minor:
        refunds.plan(uow, payment, f"suspense/{payment.id}", came, now_ms, reason)


def set_aside(uow: UnitOfWork, payment: Payment) -> Money:
    """Return what the books have in suspense for a payment, in the asset that really came."""
    for transfer in uow.ledger.transfers(payment.id):
        if transfer.kind == TransferKind.TO_SUSPENSE.value:
            return Money(uow.ledger.balance(transfer.credit), transfer.asset)
    return Money(0, payment.asset)


def _mark_paid(uow: UnitOfWork, payment: Payment) -> None:
    term = refunds.term_of(uow, payment.contract, payment.term)
    uow.contracts.save_term(replace(term, paid=True))


def _share_loss(uow: UnitOfWork, payment: Payment, at: Booking) -> None:
    """Book who bears a lost dispute; refunds that had not left are covered by it."""
    contract = contract_of(uow, payment)
    term = refunds.term_of(uow, payment.contract, payment.term)
    taken_minor = uow.ledger.balance(accounts.dispute(payment.id, payment.asset))
    credit_minor = uow.ledger.balance(accounts.credit(payment.payer, payment.asset))
    parts, after = share_loss(term, taken_minor, credit_minor)
    uow.ledger.post(
        postings.dispute_lost(
            at, payment.id, term.id, payment.payer, contract.provider, parts, payment.asset
        )
    )
    uow.contracts.save_term(after)
    refunds.cover_by_dispute(uow, payment, at.booked_at_ms)


def _tell(
    uow: UnitOfWork, payment: Payment, what: Told, now_ms: int, actor: str, reason: str
) -> None:
    """Move the contract, if this means anything to it in its present state."""
    contract = contract_of(uow, payment)
    term = refunds.term_of(uow, payment.contract, payment.term)
    event = _CONTRACT_EVENTS[what]
    if what is Told.PAID and term.ordinal > 1:
        event = ContractEvent.EXTENDED
    if what is Told.DISPUTE_WON and _other_disputes(uow, payment):
        return
    if CONTRACT.allows(contract.state, event) and not (what is Told.NOT_PAID and term.ordinal > 1):
        steps.advance(
            uow, contract, event, actor=actor, now_ms=now_ms, reason=reason, evidence=payment.id
        )


_CONTRACT_EVENTS = {
    Told.PAID: ContractEvent.SETTLED,
    Told.NOT_PAID: ContractEvent.PAYMENT_EXPIRED,
    Told.DISPUTED: ContractEvent.SUSPENDED,
    Told.DISPUTE_WON: ContractEvent.RESUMED,
    Told.DISPUTE_LOST: ContractEvent.DISPUTE_LOST,
}


def _other_disputes(uow: UnitOfWork, payment: Payment) -> bool:
    return any(
        other.state is PaymentState.DISPUTED and other.id != payment.id
        for other in uow.payments.of_contract(payment.contract)
    )


def contract_of(uow: UnitOfWork, payment: Payment) -> Contract:
    """Return the contract that a payment is for; Internal if it is not there."""
    contract = uow.contracts.get(payment.contract)
    if contract is None:
        raise Internal("a payment names a contract that does not exist", payment=payment.id)
    return contract

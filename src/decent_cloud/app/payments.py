"""Money comes in: started with the order, settled by what a processor says, disputed, decided."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app import refunds
from decent_cloud.app.caller import Caller, require_admin
from decent_cloud.app.payment_effects import advance, contract_of, get, set_aside
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.processors import Charge, ChargeState
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts.contract import Contract, Term
from decent_cloud.domain.contracts.lifecycle import CONTRACT, EXTENDABLE, ContractEvent
from decent_cloud.domain.payments import payment_lifecycle as lifecycle
from decent_cloud.domain.payments.errors import NotReviewable, PaymentOpen, UnknownMethod
from decent_cloud.domain.payments.payment import OWN_MONEY, Payment, Purpose
from decent_cloud.domain.payments.payment_lifecycle import PaymentEvent
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.errors import Internal, Invalid, NotFound
from decent_cloud.kernel.ids import AccountId, JobId, PaymentId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import ContractState, PaymentState, ServerMode
from decent_cloud.wire.v1.contracts import PayWith

COLLECT_KIND = "payment.collect"
WATCH_KIND = "payment.watch"
CHARGE_STEP = "charge"
FAKE_PROCESSOR = "sandbox"


def start(
    uow: UnitOfWork, payer: AccountId, contract: Contract, term: Term, pay: PayWith, now_ms: int
) -> Payment:
    """Begin to pay for a term: own money settles at once, a processor is asked by a job after the commit.

    Errors: UnknownMethod, PaymentOpen, Overdrawn, Invalid (nothing to pay).
    """
    _check_method(uow, pay)
    if term.amount_minor <= 0:
        raise Invalid("there is nothing to pay", field="pay")
    of_term = [p for p in uow.payments.of_contract(contract.id) if p.term == term.id]
    if term.paid or any(p.state not in lifecycle.GAVE_UP for p in of_term):
        raise PaymentOpen
    payment = Payment(
        id=PaymentId(f"{term.id}.p{len(of_term) + 1}"),
        payer=payer,
        purpose=Purpose.TERM,
        contract=contract.id,
        term=term.id,
        processor=pay.method,
        instrument=pay.card,
        asset=term.asset,
        amount_minor=term.amount_minor,
        state=PaymentState.CREATED,
        created_at_ms=now_ms,
        deadline_ms=now_ms + lifecycle.UNPAID_MS,
    )
    uow.payments.add(payment)
    if pay.method in OWN_MONEY:
        paid = Money(payment.amount_minor, payment.asset)
        return advance(uow, payment, (PaymentEvent.SETTLED,), now_ms, "platform", paid)
    key = f"{COLLECT_KIND}:{payment.id}"
    data = to_json({"payment": payment.id}).decode()
    uow.jobs.add(Job(JobId(key), COLLECT_KIND, key, now_ms, data, step=CHARGE_STEP))
    return payment


def charge_key(payment: PaymentId) -> str:
    """Return the key under which the processor is asked for this payment: that of the job's step."""
    return f"{COLLECT_KIND}:{payment}:{CHARGE_STEP}"


def watch(uow: UnitOfWork, payment: Payment, now_ms: int) -> None:
    """Have the processor asked again from time to time, for what happens outside: late money, disputes."""
    if payment.state is PaymentState.FAILED or is_final(payment):
        return
    key = f"{WATCH_KIND}:{payment.id}"
    data = to_json({"payment": payment.id}).decode()
    run_at_ms = now_ms + lifecycle.FIRST_WATCH_MS
    uow.jobs.add(Job(JobId(key), WATCH_KIND, key, run_at_ms, data))


def is_final(payment: Payment) -> bool:
    """Tell whether nothing that a processor says can change this payment any more."""
    return payment.state in lifecycle.PAYMENT.terminal()


def apply_charge(uow: UnitOfWork, payment_id: PaymentId, charge: Charge, now_ms: int) -> Payment:
    """Take in what a processor says about a payment; the same word again, or an older one, changes nothing.

    Errors: Internal if the processor now names another charge than before.
    """
    payment = get(uow, payment_id)
    if payment.external and charge.external not in {payment.external, ""}:
        raise Internal("one payment, two charges", payment=payment_id, charge=charge.external)
    events = _events(uow, payment, charge)
    if not events and (payment.external or not charge.external):
        return payment
    known = replace(payment, external=charge.external or payment.external)
    actor = f"processor/{payment.processor}"
    return advance(uow, known, events, now_ms, actor, charge.received, charge.detail)


def expire(uow: UnitOfWork, payment: Payment, now_ms: int, reason: str = "") -> Payment:
    """Give up waiting for a payment that nobody has made; money that still comes refunds itself."""
    if payment.state is not PaymentState.CREATED:
        return payment
    events = (PaymentEvent.EXPIRED,)
    return advance(uow, payment, events, now_ms, "platform", detail=reason)


def apply_deadlines(uow: UnitOfWork, now_ms: int, limit: int) -> int:
    """Move on payments whose deadline has passed; returns how many were looked at."""
    due = uow.payments.due(now_ms, limit)
    for payment in due:
        event = lifecycle.due_event(payment, now_ms)
        if event is PaymentEvent.EXPIRED:
            later_ms = _contract_waits_until(uow, payment)
            if later_ms > now_ms:
                uow.payments.save(replace(payment, deadline_ms=later_ms))
                continue
        if event is not None:
            advance(uow, payment, (event,), now_ms, "platform")
    return len(due)


def decide_review(
    uow: UnitOfWork, caller: Caller, payment_id: PaymentId, accept: bool, now_ms: int
) -> Payment:
    """Accept mismatched money as the term's (a surplus goes back), or send all of it back; admins only.

    Errors: Forbidden, NotFound, NotReviewable.
    """
    require_admin(caller)
    payment = uow.payments.get(payment_id)
    if payment is None:
        raise NotFound("there is no such payment")
    if payment.state is not PaymentState.HELD_FOR_REVIEW:
        raise NotReviewable
    if accept:
        came = set_aside(uow, payment)
        enough = came.asset is payment.asset and came.amount_minor >= payment.amount_minor
        if not enough or not _takes(uow, payment):
            raise NotReviewable("this money cannot pay for the term; send it back")
    event = PaymentEvent.SETTLED if accept else PaymentEvent.RETURNED
    return advance(uow, payment, (event,), now_ms, caller.actor)


def _check_method(uow: UnitOfWork, pay: PayWith) -> None:
    fake_allowed = uow.platform.mode() is ServerMode.DEVELOPMENT
    if pay.method in OWN_MONEY or (pay.method == FAKE_PROCESSOR and fake_allowed):
        return
    raise UnknownMethod(method=pay.method)


def _events(uow: UnitOfWork, payment: Payment, charge: Charge) -> tuple[PaymentEvent, ...]:
    """Translate a snapshot of a charge into the events that the payment has not had yet, in order."""
    if charge.state is ChargeState.PENDING:
        return ()
    if charge.state is ChargeState.FAILED:
        return (PaymentEvent.FAILED,) if payment.state is PaymentState.CREATED else ()
    events: list[PaymentEvent] = []
    state = payment.state
    if state is PaymentState.CREATED and not _takes(uow, payment):
        events.append(PaymentEvent.EXPIRED)
        state = PaymentState.EXPIRED
    asked = Money(payment.amount_minor, payment.asset)
    came = PaymentEvent.SETTLED if charge.received == asked else PaymentEvent.MISMATCHED
    in_order = (
        came if payment.state is not PaymentState.HELD_FOR_REVIEW else None,
        PaymentEvent.DISPUTED if charge.state in _DISPUTED else None,
        PaymentEvent.DISPUTE_WON if charge.state is ChargeState.DISPUTE_WON else None,
        PaymentEvent.DISPUTE_LOST if charge.state is ChargeState.DISPUTE_LOST else None,
    )
    for event in in_order:
        if event is not None and lifecycle.PAYMENT.allows(state, event):
            events.append(event)
            state = lifecycle.PAYMENT.next(state, event)
    return tuple(events)


_DISPUTED = {ChargeState.DISPUTED, ChargeState.DISPUTE_WON, ChargeState.DISPUTE_LOST}


def _takes(uow: UnitOfWork, payment: Payment) -> bool:
    """Tell whether the contract can still use this money for its term."""
    contract = contract_of(uow, payment)
    term = refunds.term_of(uow, payment.contract, payment.term)
    if term.paid:
        return False
    if term.ordinal == 1:
        return CONTRACT.allows(contract.state, ContractEvent.SETTLED)
    suspended = contract.state is ContractState.SUSPENDED
    state = ContractState(contract.resume_to) if suspended else contract.state
    return state in EXTENDABLE


def _contract_waits_until(uow: UnitOfWork, payment: Payment) -> int:
    """Return the deadline of a contract that still waits for its first payment, else 0.

    After the platform slept, contracts' deadlines move on; their payments follow.
    """
    contract = contract_of(uow, payment)
    return contract.deadline_ms if contract.state is ContractState.REQUESTED else 0

"""Money goes back: planned with the change that causes it, sent by a job, booked by what the processor says."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.processors import SentRefund, SentState
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.releases import reserved_of_terms
from decent_cloud.domain.contracts.contract import Contract, Term
from decent_cloud.domain.ledger import accounts, postings
from decent_cloud.domain.ledger.postings import Booking, Group
from decent_cloud.domain.ledger.transfers import LedgerAccount
from decent_cloud.domain.payments import refund_lifecycle
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.payment_lifecycle import REFUNDABLE, is_own_money
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.domain.payments.refund_lifecycle import RESERVING, Entry, RefundEvent
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import ContractId, JobId, RefundId, TermId
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import PaymentState, RefundState

SEND_KIND = "refund.send"
ALARMS = "platform/alarms"
_TOOK = REFUNDABLE | {PaymentState.DISPUTED}


def refund_rest(
    uow: UnitOfWork, contract: Contract, now_ms: int, reason: str
) -> tuple[Refund, ...]:
    """Give back what is still held of every paid term and not on its way already."""
    terms = uow.contracts.terms(contract.id)
    if not any(term.held_minor for term in terms):
        return ()
    reserved = reserved_of_terms(uow, contract.id)
    payments = uow.payments.of_contract(contract.id)
    made = []
    for term in terms:
        rest = Money(max(0, term.held_minor - reserved[term.id]), term.asset)
        if rest.amount_minor:
            payment = _paid_by(payments, term)
            made.append(plan(uow, payment, f"held/{term.id}", rest, now_ms, reason))
    return tuple(made)


def plan(
    uow: UnitOfWork, payment: Payment, source: str, amount: Money, now_ms: int, reason: str
) -> Refund:
    """Plan to give `amount` back out of `source`; own money returns to its balance at once."""
    before = [r for r in uow.payments.refunds_of(payment.contract) if r.payment == payment.id]
    refund = Refund(
        id=RefundId(f"{payment.id}.r{len(before) + 1}"),
        payment=payment.id,
        payee=payment.payer,
        contract=payment.contract,
        term=payment.term,
        processor=payment.processor,
        asset=amount.asset,
        amount_minor=amount.amount_minor,
        source=source,
        state=RefundState.PLANNED,
        created_at_ms=now_ms,
        deadline_ms=now_ms + refund_lifecycle.PLANNED_ALARM_MS,
        reason=reason,
    )
    if is_own_money(payment):
        refund, effects = refund_lifecycle.step(refund, RefundEvent.CREDITED, now_ms)
        uow.payments.add_refund(refund)
        _book(uow, refund, payment, tuple(effect.entry for effect in effects), now_ms)
    else:
        uow.payments.add_refund(refund)
        _add_job(uow, refund, now_ms)
    _announce(uow, refund, now_ms)
    return refund


def mark_sent(uow: UnitOfWork, refund_id: RefundId, now_ms: int) -> Refund:
    """Write down that a refund is about to be sent, before the processor is asked.

    Returns it unchanged if it is not planned, or if its payment is disputed.
    """
    refund, payment = _with_payment(uow, refund_id)
    if refund.state is not RefundState.PLANNED or payment.state not in REFUNDABLE:
        return refund
    return _advance(uow, refund, payment, RefundEvent.SENT, now_ms)


def apply_sent(
    uow: UnitOfWork, refund_id: RefundId, attempt: int, sent: SentRefund, now_ms: int
) -> Refund:
    """Book what the processor says about one attempt; the same word again, or an old one, changes nothing."""
    refund, payment = _with_payment(uow, refund_id)
    if refund.attempts != attempt:
        return refund
    if sent.state is SentState.SUCCEEDED and refund.state is RefundState.SENT:
        return _advance(uow, refund, payment, RefundEvent.CONFIRMED, now_ms, sent.external)
    if sent.state is SentState.FAILED and refund.state in {RefundState.SENT, RefundState.CONFIRMED}:
        failed = _advance(uow, refund, payment, RefundEvent.FAILED, now_ms, sent.external)
        return _after_failure(uow, failed, now_ms)
    if sent.external != refund.external and refund.state is RefundState.SENT:
        uow.payments.save_refund(replace(refund, external=sent.external))
    return get(uow, refund_id)


def remind(uow: UnitOfWork, refund: Refund, now_ms: int) -> None:
    """Raise an alarm for a refund that has not moved by its deadline, once a deadline."""
    if refund.deadline_ms and now_ms >= refund.deadline_ms:
        data = {
            "text": f"a refund is {refund.state.value} for too long",
            "contract": refund.contract,
        }
        uow.outbox.append(Event(ALARMS, "alarm", refund.id, data, now_ms))
        later_ms = now_ms + refund_lifecycle.SENT_ALARM_MS
        uow.payments.save_refund(replace(refund, deadline_ms=later_ms))


def cover_by_dispute(uow: UnitOfWork, payment: Payment, now_ms: int) -> None:
    """Close refunds that were not sent yet: a lost dispute has given the tenant that money."""
    for refund in uow.payments.refunds_of(payment.contract):
        if refund.payment != payment.id or refund.state not in RESERVING:
            continue
        if not refund.source.startswith("held/"):
            _recover(uow, refund, now_ms)
        uow.payments.save_refund(refund_lifecycle.covered_by_dispute(refund, now_ms))


def _after_failure(uow: UnitOfWork, refund: Refund, now_ms: int) -> Refund:
    payment = _payment(uow, refund)
    if payment.state is PaymentState.LOST:
        _recover(uow, refund, now_ms)
        again, _ = refund_lifecycle.step(refund, RefundEvent.RETRIED, now_ms)
        uow.payments.save_refund(refund_lifecycle.covered_by_dispute(again, now_ms))
        return get(uow, refund.id)
    event = refund_lifecycle.after_failure(refund, payment.state)
    after = _advance(uow, refund, payment, event, now_ms)
    if after.state is RefundState.PLANNED:
        _add_job(uow, after, now_ms + refund_lifecycle.retry_after_ms(after))
    return after


def _recover(uow: UnitOfWork, refund: Refund, now_ms: int) -> None:
    """Take money that the tenant got by a dispute out of where its refund came from: it was booked as lost."""
    source = accounts.named(refund.source, refund.asset)
    at = Booking(refund.id, now_ms, now_ms)
    uow.ledger.post(postings.loss_recovered(at, source, refund.amount_minor))
    if refund.source.startswith("held/"):
        term = term_of(uow, refund.contract, refund.term)
        uow.contracts.save_term(replace(term, lost_minor=term.lost_minor + refund.amount_minor))


def _advance(
    uow: UnitOfWork,
    refund: Refund,
    payment: Payment,
    event: RefundEvent,
    now_ms: int,
    external: str = "",
) -> Refund:
    """Step, save, book and announce; returns the record as saved."""
    after, effects = refund_lifecycle.step(refund, event, now_ms, external)
    uow.payments.save_refund(after)
    _book(uow, after, payment, tuple(effect.entry for effect in effects), now_ms)
    _announce(uow, after, now_ms)
    return get(uow, refund.id)


def _book(
    uow: UnitOfWork, refund: Refund, payment: Payment, entries: tuple[Entry, ...], now_ms: int
) -> None:
    """Post the entries, and keep term and payment equal to the books."""
    source = accounts.named(refund.source, refund.asset)
    at = Booking(refund.id, now_ms, now_ms, k=str(refund.attempts))
    for entry in entries:
        uow.ledger.post(_group(entry, at, refund, source))
        sent, credited = _parts(entry, refund.amount_minor)
        if not sent and not credited:
            continue
        uow.payments.save(replace(payment, refunded_minor=payment.refunded_minor + sent + credited))
        if refund.source == f"held/{refund.term}":
            term = term_of(uow, refund.contract, refund.term)
            uow.contracts.save_term(
                replace(
                    term,
                    refunded_minor=term.refunded_minor + sent,
                    credited_minor=term.credited_minor + credited,
                )
            )


def _group(entry: Entry, at: Booking, refund: Refund, source: LedgerAccount) -> Group:
    amount = Money(refund.amount_minor, refund.asset)
    if entry is Entry.SEND:
        return postings.refund_sent(at, source, refund.amount_minor)
    if entry is Entry.CONFIRM:
        return postings.refund_confirmed(at, refund.processor, amount)
    if entry is Entry.BRING_BACK:
        return postings.refund_failed(at, source, refund.amount_minor)
    if entry is Entry.GIVE_BACK:
        return postings.refund_given_back(at, refund.processor, source, refund.amount_minor)
    purse = accounts.prepaid if refund.processor == "prepaid" else accounts.credit
    balance = purse(refund.payee, refund.asset)
    return postings.refund_to_balance(at, source, balance, refund.amount_minor)


def _parts(entry: Entry, amount_minor: int) -> tuple[int, int]:
    """Return by how much an entry changes what a term has refunded, and what it has credited."""
    if entry is Entry.SEND:
        return amount_minor, 0
    if entry in {Entry.BRING_BACK, Entry.GIVE_BACK}:
        return -amount_minor, 0
    return 0, amount_minor if entry is Entry.CREDIT else 0


def _add_job(uow: UnitOfWork, refund: Refund, run_at_ms: int) -> None:
    """Have one attempt made; each has a key of its own, at the job table and at the processor."""
    key = f"{SEND_KIND}:{refund.id}:{refund.attempts + 1}"
    data = to_json({"refund": refund.id, "attempt": refund.attempts + 1}).decode()
    uow.jobs.add(Job(JobId(key), SEND_KIND, key, run_at_ms, data))


def _announce(uow: UnitOfWork, refund: Refund, now_ms: int) -> None:
    data = {
        "state": refund.state.value,
        "amount_minor": str(refund.amount_minor),
        "asset": refund.asset.value,
    }
    uow.outbox.append(Event(f"account/{refund.payee}", "refund", refund.id, data, now_ms))


def _paid_by(payments: tuple[Payment, ...], term: Term) -> Payment:
    for payment in payments:
        if payment.term == term.id and payment.state in _TOOK:
            return payment
    raise Internal("money is held that no payment brought", term=term.id)


def term_of(uow: UnitOfWork, contract: ContractId, term: TermId) -> Term:
    """Return a term of a contract as it is now; Internal if it is not there."""
    for found in uow.contracts.terms(contract):
        if found.id == term:
            return found
    raise Internal("a payment names a term that does not exist", term=term)


def _with_payment(uow: UnitOfWork, refund_id: RefundId) -> tuple[Refund, Payment]:
    refund = get(uow, refund_id)
    return refund, _payment(uow, refund)


def get(uow: UnitOfWork, refund_id: RefundId) -> Refund:
    """Return a refund that must exist; Internal if it does not."""
    refund = uow.payments.refund(refund_id)
    if refund is None:
        raise Internal("there is no such refund", refund=refund_id)
    return refund


def _payment(uow: UnitOfWork, refund: Refund) -> Payment:
    payment = uow.payments.get(refund.payment)
    if payment is None:
        raise Internal("a refund names a payment that does not exist", refund=refund.id)
    return payment

"""The one place that moves a contract: lifecycle, record, history, money, agents and events in one step."""

from __future__ import annotations

from dataclasses import replace

from decent_cloud.app import pool_log, refunds, releases, reset_steps
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.outbox import Event
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.contracts import lifecycle
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, Term
from decent_cloud.domain.contracts.effects import (
    BookPenalty,
    CheckReach,
    Effect,
    GiveBackStock,
    MoveTerms,
    OpenAssignment,
    RefundAll,
    RefundRest,
    ReleaseEarned,
    SetDesired,
    StartTerms,
    WatchSuspended,
)
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.codec import to_json
from decent_cloud.kernel.ids import JobId

REACH_KIND = "reach.check"
RENEW_KIND = "contract.renew"
SUSPENDED_KIND = "contract.suspended"
SUSPENDED_LEAD_MS = 10 * MINUTE_MS  # room for a second look before the day is over
EVENT_KIND = "contract"


def advance(
    uow: UnitOfWork,
    contract: Contract,
    event: ContractEvent,
    *,
    actor: str,
    now_ms: int,
    reason: str = "",
    evidence: str = "",
) -> Contract:
    """Move a contract by one event and do everything that follows from it; return it as stored.

    `contract` may carry facts that come with the event (host, port, host keys). Terms that an event
    starts must be stored as paid before. Errors: IllegalTransition, StaleVersion.
    """
    extends = event is ContractEvent.EXTENDED
    hours = sum(term.hours for term in _waiting(uow, contract)) if extends else 0
    after, effects = lifecycle.advance(contract, event, now_ms, hours=hours, reason=reason)
    row = HistoryRow(
        contract=contract.id,
        version=contract.version + 1,
        at_ms=now_ms,
        actor=actor,
        event=event.value,
        from_state=contract.state.value,
        to_state=after.state,
        reason=reason,
        evidence=evidence,
    )
    uow.contracts.save(after, row)
    stored = replace(after, version=contract.version + 1)
    for effect in effects:
        _apply(uow, stored, effect, now_ms)
    if after.state in lifecycle.TERMINAL:
        reset_steps.end_with(uow, stored, now_ms=now_ms)
    announce(uow, stored, event.value, now_ms, reason)
    return stored


def announce(uow: UnitOfWork, contract: Contract, event: str, now_ms: int, reason: str) -> None:
    """Write the step to the streams of the contract and of both sides."""
    data = {"state": contract.state.value, "event": event, "reason": reason}
    streams = dict.fromkeys(
        (
            f"contract/{contract.id}",
            f"account/{contract.tenant}",
            f"account/{contract.provider}",
        )
    )
    for stream in streams:
        uow.outbox.append(Event(stream, EVENT_KIND, contract.id, data, now_ms))


def _apply(uow: UnitOfWork, contract: Contract, effect: Effect, now_ms: int) -> None:
    match effect:
        case GiveBackStock():
            uow.offerings.unreserve(contract.offering)
        case OpenAssignment():
            pool_log.open_assignment(uow, contract, now_ms)
        case SetDesired(desired):
            pool_log.set_desired(uow, contract, desired, now_ms)
        case WatchSuspended():
            _watch_suspended(uow, contract)
        case CheckReach():
            _check_reach(uow, contract, now_ms)
        case StartTerms():
            _start_terms(uow, contract, now_ms)
        case MoveTerms(from_ms, by_ms):
            _move_terms(uow, contract, from_ms, by_ms)
        case ReleaseEarned():
            releases.release_earned(uow, contract, now_ms)
        case RefundAll(reason) | RefundRest(reason):
            refunds.refund_rest(uow, contract, now_ms, reason)
        case BookPenalty():
            releases.book_penalty(uow, contract, now_ms, _refunded_minor(uow, contract))


def _waiting(uow: UnitOfWork, contract: Contract) -> tuple[Term, ...]:
    """Return the paid terms whose time has not begun."""
    return tuple(term for term in uow.contracts.terms(contract.id) if term.paid and not term.to_ms)


def _start_terms(uow: UnitOfWork, contract: Contract, now_ms: int) -> None:
    end_ms = contract.paid_until_ms
    waiting = _waiting(uow, contract)
    if contract.renews and waiting:
        _plan_renewal(uow, contract, waiting[-1], now_ms)
    for term in reversed(waiting):
        start_ms = end_ms - term.hours * HOUR_MS
        uow.contracts.save_term(replace(term, from_ms=start_ms, to_ms=end_ms))
        end_ms = start_ms


def _plan_renewal(uow: UnitOfWork, contract: Contract, last: Term, now_ms: int) -> None:
    key = f"{RENEW_KIND}:{contract.id}:{last.ordinal}"
    data = to_json({"contract": contract.id, "ordinal": last.ordinal}).decode()
    due_ms = contract.paid_until_ms - lifecycle.renewal_lead_ms(contract)
    uow.jobs.add(Job(JobId(key), RENEW_KIND, key, max(now_ms, due_ms), data))


def _move_terms(uow: UnitOfWork, contract: Contract, from_ms: int, by_ms: int) -> None:
    for term in uow.contracts.terms(contract.id):
        if term.to_ms <= from_ms:
            continue
        start_ms = term.from_ms + (by_ms if term.from_ms >= from_ms else 0)
        uow.contracts.save_term(replace(term, from_ms=start_ms, to_ms=term.to_ms + by_ms))


def _watch_suspended(uow: UnitOfWork, contract: Contract) -> None:
    since_ms = contract.state_since_ms
    key = f"{SUSPENDED_KIND}:{contract.id}:{contract.version}"
    data = to_json({"contract": contract.id, "since_ms": since_ms}).decode()
    due_ms = since_ms + lifecycle.SUSPENDED_RUNNING_MS - SUSPENDED_LEAD_MS
    uow.jobs.add(Job(JobId(key), SUSPENDED_KIND, key, due_ms, data))


def _check_reach(uow: UnitOfWork, contract: Contract, now_ms: int) -> None:
    assignment = uow.assignments.get(contract.id)
    attempt = assignment.attempt if assignment else 0
    key = f"{REACH_KIND}:{contract.id}:{attempt}"
    data = to_json({"contract": contract.id}).decode()
    uow.jobs.add(Job(JobId(key), REACH_KIND, key, now_ms, data))


def _refunded_minor(uow: UnitOfWork, contract: Contract) -> int:
    """Sum what this end sent back, in the contract's own asset; the penalty is a share of it."""
    return sum(
        refund.amount_minor
        for refund in uow.payments.refunds_of(contract.id)
        if refund.asset is contract.asset and refund.created_at_ms >= contract.ended_at_ms
    )

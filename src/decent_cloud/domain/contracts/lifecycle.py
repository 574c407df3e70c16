"""The life of a contract: its events, one table, and the one function that moves a record."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from decent_cloud.domain.contracts.contract import Contract
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
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from decent_cloud.kernel.lifecycle import IllegalTransition, Keeper, Lifecycle
from decent_cloud.kernel.status import AcceptMode, ContractState, Desired

REQUESTED_MS = 10 * MINUTE_MS
PENDING_MS = DAY_MS
ACCEPTED_MS = HOUR_MS
PROVISIONED_BLIND_MS = DAY_MS  # no healthy vantage point at all
UNREACHABLE_MS = 15 * MINUTE_MS  # of failed checks from a healthy vantage point
SUSPENDED_MS = 7 * DAY_MS
SUSPENDED_RUNNING_MS = DAY_MS  # where the instance cannot be stopped
LAPSED_MS = DAY_MS
RENEWAL_LEAD_MS = DAY_MS


class ContractEvent(StrEnum):
    """What can happen to a contract; the same word in code, tables and history."""

    SETTLED = "settled"
    PAYMENT_EXPIRED = "payment_expired"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CREATE_STARTED = "create_started"
    PROVISIONED = "provisioned"
    REACHED = "reached"
    CONFIRMED = "confirmed"
    PROVISION_FAILED = "provision_failed"
    UNREACHABLE = "unreachable"
    GONE = "gone"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    EXTENDED = "extended"
    TERM_ENDED = "term_ended"
    DEADLINE_PASSED = "deadline_passed"
    DISPUTE_LOST = "dispute_lost"


S, E = ContractState, ContractEvent

CONTRACT: Lifecycle[ContractState, ContractEvent] = Lifecycle(
    name="contract",
    states=ContractState,
    events=ContractEvent,
    initial=S.REQUESTED,
    table={
        (S.REQUESTED, E.SETTLED): S.PENDING,
        (S.REQUESTED, E.PAYMENT_EXPIRED): S.EXPIRED,
        (S.REQUESTED, E.DEADLINE_PASSED): S.EXPIRED,
        (S.REQUESTED, E.CANCELLED): S.CANCELLED,
        (S.PENDING, E.ACCEPTED): S.ACCEPTED,
        (S.PENDING, E.REJECTED): S.REJECTED,
        (S.PENDING, E.DEADLINE_PASSED): S.REJECTED,
        (S.PENDING, E.CANCELLED): S.CANCELLED,
        (S.PENDING, E.SUSPENDED): S.SUSPENDED,
        (S.PENDING, E.DISPUTE_LOST): S.CANCELLED,
        (S.ACCEPTED, E.CREATE_STARTED): S.PROVISIONING,
        (S.ACCEPTED, E.PROVISION_FAILED): S.FAILED,
        (S.ACCEPTED, E.DEADLINE_PASSED): S.FAILED,
        (S.ACCEPTED, E.CANCELLED): S.CANCELLED,
        (S.ACCEPTED, E.TERMINATED): S.CANCELLED,
        (S.ACCEPTED, E.SUSPENDED): S.SUSPENDED,
        (S.ACCEPTED, E.DISPUTE_LOST): S.CANCELLED,
        (S.PROVISIONING, E.PROVISIONED): S.PROVISIONED,
        (S.PROVISIONING, E.PROVISION_FAILED): S.FAILED,
        (S.PROVISIONING, E.DEADLINE_PASSED): S.FAILED,
        (S.PROVISIONING, E.CANCELLED): S.CANCELLED,
        (S.PROVISIONING, E.TERMINATED): S.CANCELLED,
        (S.PROVISIONING, E.SUSPENDED): S.SUSPENDED,
        (S.PROVISIONING, E.DISPUTE_LOST): S.CANCELLED,
        (S.PROVISIONED, E.REACHED): S.ACTIVE,
        (S.PROVISIONED, E.CONFIRMED): S.ACTIVE,
        (S.PROVISIONED, E.UNREACHABLE): S.FAILED,
        (S.PROVISIONED, E.GONE): S.FAILED,
        (S.PROVISIONED, E.DEADLINE_PASSED): S.FAILED,
        (S.PROVISIONED, E.CANCELLED): S.CANCELLED,
        (S.PROVISIONED, E.TERMINATED): S.CANCELLED,
        (S.PROVISIONED, E.SUSPENDED): S.SUSPENDED,
        (S.PROVISIONED, E.DISPUTE_LOST): S.CANCELLED,
        (S.ACTIVE, E.EXTENDED): S.ACTIVE,
        (S.ACTIVE, E.TERM_ENDED): S.LAPSED,
        (S.ACTIVE, E.GONE): S.FAILED,
        (S.ACTIVE, E.CANCELLED): S.CANCELLED,
        (S.ACTIVE, E.TERMINATED): S.CANCELLED,
        (S.ACTIVE, E.SUSPENDED): S.SUSPENDED,
        (S.ACTIVE, E.DISPUTE_LOST): S.CANCELLED,
        (S.SUSPENDED, E.RESUMED): S.ACTIVE,
        (S.SUSPENDED, E.EXTENDED): S.SUSPENDED,
        (S.SUSPENDED, E.PROVISIONED): S.SUSPENDED,
        (S.SUSPENDED, E.PROVISION_FAILED): S.FAILED,
        (S.SUSPENDED, E.GONE): S.FAILED,
        (S.SUSPENDED, E.CANCELLED): S.CANCELLED,
        (S.SUSPENDED, E.TERMINATED): S.CANCELLED,
        (S.SUSPENDED, E.DEADLINE_PASSED): S.CANCELLED,
        (S.SUSPENDED, E.DISPUTE_LOST): S.CANCELLED,
        (S.LAPSED, E.EXTENDED): S.ACTIVE,
        (S.LAPSED, E.DEADLINE_PASSED): S.COMPLETED,
        (S.LAPSED, E.GONE): S.COMPLETED,
        (S.LAPSED, E.CANCELLED): S.CANCELLED,
        (S.LAPSED, E.TERMINATED): S.CANCELLED,
        (S.LAPSED, E.SUSPENDED): S.SUSPENDED,
        (S.LAPSED, E.DISPUTE_LOST): S.CANCELLED,
    },
    keepers={
        S.REQUESTED: Keeper(
            "tenant", "10 min unpaid; while the payment is in review, its decision"
        ),
        S.PENDING: Keeper("provider", "24 h"),
        S.ACCEPTED: Keeper("platform", "60 min"),
        S.PROVISIONING: Keeper("agent", "as the offering says, 30 min by default"),
        S.PROVISIONED: Keeper("platform", "15 min of failed checks; 24 h if no check can be made"),
        S.ACTIVE: Keeper("platform", "end of the last paid term"),
        S.SUSPENDED: Keeper(
            "platform", "7 d, 24 h if the instance cannot be stopped; the clock stands"
        ),
        S.LAPSED: Keeper("tenant", "24 h"),
    },
    computed=frozenset({(S.REQUESTED, E.SETTLED), (S.SUSPENDED, E.RESUMED)}),
)

TERMINAL = CONTRACT.terminal()
EXTENDABLE = frozenset({S.ACTIVE, S.LAPSED})
_WORKED_ON = frozenset({S.ACCEPTED, S.PROVISIONING, S.PROVISIONED, S.ACTIVE})


def advance(
    contract: Contract, event: ContractEvent, now_ms: int, *, hours: int = 0, reason: str = ""
) -> tuple[Contract, tuple[Effect, ...]]:
    """Return the record after `event`, with its next deadline, and what else must happen, in order.

    `hours` are those of the terms that `extended` adds. The version stays: the store counts it.
    Errors: IllegalTransition.
    """
    target = _target(contract, event)
    if target in TERMINAL:
        return _end(contract, event, target, now_ms, reason)
    if event is E.SUSPENDED:
        return _suspend(contract, now_ms)
    if event is E.RESUMED:
        return _resume(contract, target, now_ms)
    if event is E.EXTENDED:
        return _extend(contract, target, now_ms, hours)
    if contract.state is S.SUSPENDED:
        return _finish_while_suspended(contract, now_ms)
    return _enter(contract, target, now_ms)


def event_at_deadline(state: ContractState) -> ContractEvent:
    """Return what it means when this state's deadline passes."""
    return E.TERM_ENDED if state is S.ACTIVE else E.DEADLINE_PASSED


def renewal_lead_ms(contract: Contract) -> int:
    """Return how long before the paid end a renewal is due: 24 h, for short rentals a quarter of their time."""
    return min(RENEWAL_LEAD_MS, contract.hours * HOUR_MS // 4)


def worked_on(contract: Contract) -> bool:
    """Tell whether an agent was given work for it: whether an instance may exist or may be made."""
    state = S(contract.resume_to) if contract.state is S.SUSPENDED else contract.state
    return state in _WORKED_ON or state is S.LAPSED


def _target(contract: Contract, event: ContractEvent) -> ContractState:
    target = CONTRACT.next(contract.state, event)
    if (contract.state, event) == (S.REQUESTED, E.SETTLED):
        return S.ACCEPTED if _accepts_itself(contract) else S.PENDING
    if contract.state is not S.SUSPENDED:
        return target
    resume_to = S(contract.resume_to)
    possible = {
        E.EXTENDED: EXTENDABLE,
        E.PROVISIONED: frozenset({S.PROVISIONING}),
        E.PROVISION_FAILED: frozenset({S.ACCEPTED, S.PROVISIONING}),
    }
    if resume_to not in possible.get(event, frozenset({resume_to})):
        raise IllegalTransition(
            f"the contract is suspended from {resume_to.value}: {event.value} is not possible now",
            state=contract.state.value,
            event=event.value,
        )
    return resume_to if event is E.RESUMED else target


def _accepts_itself(contract: Contract) -> bool:
    return contract.self_rental or contract.accept_mode is AcceptMode.AUTO


def _enter(
    contract: Contract, state: ContractState, now_ms: int
) -> tuple[Contract, tuple[Effect, ...]]:
    moved = replace(contract, state=state, state_since_ms=now_ms)
    if state is S.PENDING:
        return replace(moved, deadline_ms=now_ms + PENDING_MS), ()
    if state is S.ACCEPTED:
        return replace(moved, deadline_ms=now_ms + ACCEPTED_MS), (OpenAssignment(),)
    if state is S.PROVISIONING:
        return replace(moved, deadline_ms=now_ms + contract.provision_timeout_s * SECOND_MS), ()
    if state is S.PROVISIONED:
        waits = replace(moved, deadline_ms=now_ms + PROVISIONED_BLIND_MS, checks_from_ms=now_ms)
        return waits, (CheckReach(),)
    if state is S.LAPSED:
        over = replace(_stop_clock(moved, now_ms), deadline_ms=now_ms + LAPSED_MS)
        return over, (ReleaseEarned(), SetDesired(Desired.STOPPED))
    paid_until_ms = now_ms + contract.hours * HOUR_MS
    active = replace(
        moved,
        deadline_ms=paid_until_ms,
        active_since_ms=now_ms,
        clock_from_ms=now_ms,
        paid_until_ms=paid_until_ms,
    )
    return active, (StartTerms(), SetDesired(Desired.RUNNING))


def _end(
    contract: Contract, event: ContractEvent, state: ContractState, now_ms: int, reason: str
) -> tuple[Contract, tuple[Effect, ...]]:
    why = reason or event.value
    ended = replace(
        _stop_clock(contract, now_ms),
        state=state,
        state_since_ms=now_ms,
        deadline_ms=0,
        resume_to="",
        resume_deadline_ms=0,
        end_reason=why,
        ended_at_ms=now_ms,
    )
    effects: list[Effect] = [GiveBackStock()]
    if worked_on(contract):
        effects.append(SetDesired(Desired.ABSENT))
    if contract.active_since_ms:
        effects += [ReleaseEarned(), RefundRest(why)]
    elif contract.state is not S.REQUESTED:
        effects.append(RefundAll(why))
    if event is E.TERMINATED:
        effects.append(BookPenalty())
    return ended, tuple(effects)


def _suspend(contract: Contract, now_ms: int) -> tuple[Contract, tuple[Effect, ...]]:
    suspended = replace(
        _stop_clock(contract, now_ms),
        state=S.SUSPENDED,
        state_since_ms=now_ms,
        deadline_ms=now_ms + SUSPENDED_MS,
        resume_to=contract.state.value,
        resume_deadline_ms=contract.deadline_ms,
    )
    effects = (SetDesired(Desired.STOPPED), WatchSuspended())
    return suspended, effects if worked_on(contract) else ()


def _resume(
    contract: Contract, target: ContractState, now_ms: int
) -> tuple[Contract, tuple[Effect, ...]]:
    pause_ms = now_ms - contract.state_since_ms
    resumed = replace(
        contract,
        state=target,
        state_since_ms=now_ms,
        deadline_ms=contract.resume_deadline_ms + pause_ms,
        suspended_ms=contract.suspended_ms + pause_ms,
        resume_to="",
        resume_deadline_ms=0,
    )
    effects: list[Effect] = []
    if target is S.ACTIVE:
        resumed = replace(
            resumed, clock_from_ms=now_ms, paid_until_ms=contract.paid_until_ms + pause_ms
        )
        effects.append(MoveTerms(contract.state_since_ms, pause_ms))
    if target in _WORKED_ON:
        effects.append(SetDesired(Desired.RUNNING))
    return resumed, tuple(effects)


def _extend(
    contract: Contract, target: ContractState, now_ms: int, hours: int
) -> tuple[Contract, tuple[Effect, ...]]:
    suspended = target is S.SUSPENDED
    # A suspended contract stands at the moment it was suspended; resuming adds the pause.
    here_ms = contract.state_since_ms if suspended else now_ms
    paid_until_ms = max(contract.paid_until_ms, here_ms) + hours * HOUR_MS
    if suspended:
        longer = replace(
            contract,
            paid_until_ms=paid_until_ms,
            resume_to=S.ACTIVE.value,
            resume_deadline_ms=paid_until_ms,
        )
        return longer, (StartTerms(), SetDesired(Desired.STOPPED))
    # Time between a paid end and now (lapsed, or a grace after an outage) belongs to no term.
    running = contract.clock_from_ms and contract.paid_until_ms >= now_ms
    stood = contract if running else replace(_stop_clock(contract, now_ms), clock_from_ms=now_ms)
    longer = replace(
        stood,
        state=target,
        state_since_ms=contract.state_since_ms if target is contract.state else now_ms,
        deadline_ms=paid_until_ms,
        paid_until_ms=paid_until_ms,
    )
    return longer, (StartTerms(), SetDesired(Desired.RUNNING))


def _finish_while_suspended(contract: Contract, now_ms: int) -> tuple[Contract, tuple[Effect, ...]]:
    """The agent finished a create that was under way: resuming leads on from there."""
    made = replace(
        contract,
        resume_to=S.PROVISIONED.value,
        resume_deadline_ms=contract.state_since_ms + PROVISIONED_BLIND_MS,
        checks_from_ms=now_ms,
    )
    return made, (CheckReach(),)


def _stop_clock(contract: Contract, now_ms: int) -> Contract:
    """Add the running stretch to the served time; it never counts beyond the paid end."""
    if not contract.clock_from_ms:
        return contract
    stretch_ms = min(now_ms, contract.paid_until_ms) - contract.clock_from_ms
    return replace(contract, served_ms=contract.served_ms + max(0, stretch_ms), clock_from_ms=0)

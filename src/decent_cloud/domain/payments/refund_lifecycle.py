"""The life of a refund: one table, one pure function (record, event, now) -> (record, effects)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.clock import DAY_MS, SECOND_MS
from decent_cloud.kernel.lifecycle import Keeper, Lifecycle
from decent_cloud.kernel.status import PaymentState, RefundState

MAX_ATTEMPTS = 3
FIRST_RETRY_MS = 5 * SECOND_MS
PLANNED_ALARM_MS = DAY_MS
SENT_ALARM_MS = 7 * DAY_MS
CHOICE_MS = 14 * DAY_MS


class RefundEvent(StrEnum):
    """What can happen to a refund."""

    SENT = "sent"
    CHOICE_ASKED = "choice_asked"
    CREDITED = "credited"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    RETRIED = "retried"


S, E = RefundState, RefundEvent

REFUND = Lifecycle(
    name="refund",
    states=RefundState,
    events=RefundEvent,
    initial=S.PLANNED,
    table={
        (S.PLANNED, E.SENT): S.SENT,
        (S.PLANNED, E.CHOICE_ASKED): S.AWAITING_CHOICE,
        (S.PLANNED, E.CREDITED): S.CREDITED,
        (S.AWAITING_CHOICE, E.SENT): S.SENT,
        (S.AWAITING_CHOICE, E.CREDITED): S.CREDITED,
        (S.SENT, E.CONFIRMED): S.CONFIRMED,
        (S.SENT, E.FAILED): S.FAILED,
        (S.CONFIRMED, E.FAILED): S.FAILED,
        (S.FAILED, E.RETRIED): S.PLANNED,
        (S.FAILED, E.CREDITED): S.CREDITED,
    },
    keepers={
        S.PLANNED: Keeper("platform", "24 h -> alarm; waits while disputed"),
        S.SENT: Keeper("processor", "7 d -> alarm"),
        S.AWAITING_CHOICE: Keeper("tenant", "14 d -> credited"),
        S.FAILED: Keeper("platform", "at once: planned again, after 3 attempts credited"),
        S.CONFIRMED: Keeper("-", "resting: the rail gives it back"),
    },
    resting=frozenset({S.CONFIRMED}),
)

# States whose amount still lies where it came from, so that nobody else may take it.
RESERVING = frozenset({S.PLANNED, S.AWAITING_CHOICE, S.FAILED})

_DEADLINE_MS = {
    S.PLANNED: PLANNED_ALARM_MS,
    S.SENT: SENT_ALARM_MS,
    S.AWAITING_CHOICE: CHOICE_MS,
    S.FAILED: SECOND_MS,
}


class Entry(StrEnum):
    """What a refund's step books (`domain/ledger/postings.py`)."""

    SEND = "send"
    CONFIRM = "confirm"
    BRING_BACK = "bring_back"
    GIVE_BACK = "give_back"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Book:
    """Book this entry of the refund."""

    entry: Entry


_ENTRIES = {
    (S.PLANNED, E.SENT): Entry.SEND,
    (S.AWAITING_CHOICE, E.SENT): Entry.SEND,
    (S.SENT, E.CONFIRMED): Entry.CONFIRM,
    (S.SENT, E.FAILED): Entry.BRING_BACK,
    (S.CONFIRMED, E.FAILED): Entry.GIVE_BACK,
    (S.PLANNED, E.CREDITED): Entry.CREDIT,
    (S.AWAITING_CHOICE, E.CREDITED): Entry.CREDIT,
    (S.FAILED, E.CREDITED): Entry.CREDIT,
}


def step(
    refund: Refund, event: RefundEvent, now_ms: int, external: str = ""
) -> tuple[Refund, tuple[Book, ...]]:
    """Move a refund on; each sending counts as an attempt. Errors: IllegalTransition."""
    state = REFUND.next(refund.state, event)
    lasts_ms = _DEADLINE_MS.get(state, 0)
    after = replace(
        refund,
        state=state,
        deadline_ms=now_ms + lasts_ms if lasts_ms else 0,
        attempts=refund.attempts + (event is E.SENT),
        # Each attempt is a refund of its own at the processor.
        external=external if event is E.SENT else external or refund.external,
    )
    entry = _ENTRIES.get((refund.state, event))
    return after, ((Book(entry),) if entry else ())


def after_failure(refund: Refund, payment: PaymentState) -> RefundEvent:
    """Choose what follows a failure: another attempt, or the tenant's credit; no credit while disputed."""
    again = refund.attempts < MAX_ATTEMPTS or payment is PaymentState.DISPUTED
    return E.RETRIED if again else E.CREDITED


def retry_after_ms(refund: Refund) -> int:
    """Return how long to wait before the next attempt: 5 s, then four times as long each time."""
    return FIRST_RETRY_MS << 2 * min(8, max(0, refund.attempts - 1))


def covered_by_dispute(refund: Refund, now_ms: int) -> Refund:
    """Close a refund whose money the processor has already given back by a lost dispute; books nothing."""
    sent, _ = step(refund, E.SENT, now_ms, external="dispute")
    done, _ = step(sent, E.CONFIRMED, now_ms)
    return done

"""The life of a payment: one table, one pure function (record, event, now) -> (record, effects)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from decent_cloud.domain.payments.payment import OWN_MONEY, Payment
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.lifecycle import Keeper, Lifecycle
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import PaymentState

UNPAID_MS = 10 * MINUTE_MS
REVIEW_ALARM_MS = 48 * HOUR_MS
REVIEW_ENDS_MS = 72 * HOUR_MS
FIRST_WATCH_MS = 2 * SECOND_MS
LONGEST_WAIT_MS = HOUR_MS
WATCHED_MS = 7 * DAY_MS
DISPUTE_ALARM_MS = 120 * DAY_MS
DISPUTE_ALARM_AGAIN_MS = 30 * DAY_MS


class PaymentEvent(StrEnum):
    """What can happen to a payment."""

    SETTLED = "settled"
    MISMATCHED = "mismatched"
    EXPIRED = "expired"
    FAILED = "failed"
    RETURNED = "returned"
    OVERDUE = "overdue"
    DISPUTED = "disputed"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"


S, E = PaymentState, PaymentEvent

PAYMENT = Lifecycle(
    name="payment",
    states=PaymentState,
    events=PaymentEvent,
    initial=S.CREATED,
    table={
        (S.CREATED, E.SETTLED): S.SETTLED,
        (S.CREATED, E.MISMATCHED): S.HELD_FOR_REVIEW,
        (S.CREATED, E.EXPIRED): S.EXPIRED,
        (S.CREATED, E.FAILED): S.FAILED,
        (S.EXPIRED, E.SETTLED): S.SETTLED_LATE,
        (S.EXPIRED, E.MISMATCHED): S.SETTLED_LATE,
        (S.FAILED, E.SETTLED): S.SETTLED_LATE,
        (S.FAILED, E.MISMATCHED): S.SETTLED_LATE,
        (S.HELD_FOR_REVIEW, E.SETTLED): S.SETTLED,
        (S.HELD_FOR_REVIEW, E.RETURNED): S.RETURNED,
        (S.HELD_FOR_REVIEW, E.OVERDUE): S.HELD_FOR_REVIEW,
        (S.SETTLED, E.DISPUTED): S.DISPUTED,
        (S.DISPUTED, E.OVERDUE): S.DISPUTED,
        (S.DISPUTED, E.DISPUTE_WON): S.WON,
        (S.DISPUTED, E.DISPUTE_LOST): S.LOST,
        (S.WON, E.DISPUTE_LOST): S.LOST,
    },
    keepers={
        S.CREATED: Keeper("tenant", "the checkout's end (10 min, at most 60) -> expired"),
        S.HELD_FOR_REVIEW: Keeper("operator", "48 h -> alarm, 72 h -> returned"),
        S.DISPUTED: Keeper("processor", "120 d, then every 30 d -> alarm"),
        S.SETTLED: Keeper("-", "resting: disputes"),
        S.EXPIRED: Keeper("-", "resting: late money"),
        S.FAILED: Keeper("-", "resting: late money"),
        S.WON: Keeper("-", "resting: a decision turned"),
    },
    resting=frozenset({S.SETTLED, S.EXPIRED, S.FAILED, S.WON}),
)

# States whose money is ours to give back: nothing is refunded while it is disputed or lost.
REFUNDABLE = frozenset({S.SETTLED, S.WON, S.SETTLED_LATE, S.RETURNED})
# States that brought no money and will bring none to the term: only then another payment may begin.
GAVE_UP = frozenset({S.EXPIRED, S.FAILED, S.SETTLED_LATE, S.RETURNED})


class Told(StrEnum):
    """What a payment's step means for its contract."""

    PAID = "paid"
    NOT_PAID = "not_paid"
    DISPUTED = "disputed"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"


@dataclass(frozen=True, slots=True)
class Hold:
    """Book the money as the term's."""

    amount: Money


@dataclass(frozen=True, slots=True)
class SetAside:
    """Book the money as nobody's yet."""

    amount: Money


@dataclass(frozen=True, slots=True)
class HoldFromSuspense:
    """Book set-aside money as the term's; a surplus goes back."""

    amount: Money


@dataclass(frozen=True, slots=True)
class ReturnSuspense:
    """Plan a refund of everything set aside."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Book what the processor took back for a dispute."""


@dataclass(frozen=True, slots=True)
class GetBack:
    """Book that the processor returned the disputed money."""


@dataclass(frozen=True, slots=True)
class ShareLoss:
    """Book who bears the lost dispute."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the contract."""

    what: Told
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell an operator."""

    text: str


Effect = (
    Hold
    | SetAside
    | HoldFromSuspense
    | ReturnSuspense
    | TakeBack
    | GetBack
    | ShareLoss
    | Tell
    | Alarm
)


def step(
    payment: Payment,
    event: PaymentEvent,
    now_ms: int,
    received: Money | None = None,
    detail: str = "",
) -> tuple[Payment, tuple[Effect, ...]]:
    """Move a payment on; `received` is what the processor really took, given with settled and mismatched.

    Errors: IllegalTransition. The version grows when the record is saved, not here.
    """
    state = PAYMENT.next(payment.state, event)
    after = replace(
        payment,
        state=state,
        deadline_ms=_deadline(payment, event, now_ms),
        detail=detail or payment.detail,
    )
    if event in {E.SETTLED, E.MISMATCHED}:
        return _money_came(payment, after, now_ms, received)
    return after, _EFFECTS[event](payment, detail)


def _money_came(
    before: Payment, after: Payment, now_ms: int, received: Money | None
) -> tuple[Payment, tuple[Effect, ...]]:
    """Decide where money goes: to the term, to review, or back."""
    if before.state is S.HELD_FOR_REVIEW:
        paid = Money(before.amount_minor, before.asset)
        settled = replace(after, settled_at_ms=now_ms)
        return settled, (HoldFromSuspense(paid), Tell(Told.PAID))
    if received is None:
        raise Internal("money came, but nobody says how much", payment=before.id)
    after = replace(after, received_minor=received.amount_minor, settled_at_ms=now_ms)
    if after.state is S.SETTLED:
        return after, (Hold(received), Tell(Told.PAID))
    if after.state is S.HELD_FOR_REVIEW:
        return after, (SetAside(received), Alarm("the processor took another amount than asked"))
    return after, (SetAside(received), ReturnSuspense("the money came too late"))


def _deadline(payment: Payment, event: PaymentEvent, now_ms: int) -> int:
    """Return the next deadline; 0 where the state rests or ends."""
    state = PAYMENT.table[payment.state, event]
    if event is E.OVERDUE:
        review = state is S.HELD_FOR_REVIEW
        return payment.settled_at_ms + REVIEW_ENDS_MS if review else now_ms + DISPUTE_ALARM_AGAIN_MS
    if state is S.HELD_FOR_REVIEW:
        return now_ms + REVIEW_ALARM_MS
    return now_ms + DISPUTE_ALARM_MS if state is S.DISPUTED else 0


def _lost(payment: Payment, _detail: str) -> tuple[Effect, ...]:
    """Share the loss; a decision that turned after it was won takes the money back first."""
    turned: tuple[Effect, ...] = (TakeBack(),) if payment.state is S.WON else ()
    return (*turned, ShareLoss(), Tell(Told.DISPUTE_LOST, "the dispute was lost"))


_EFFECTS = {
    E.EXPIRED: lambda _p, d: (Tell(Told.NOT_PAID, d or "not paid in time"),),
    E.FAILED: lambda _p, d: (Tell(Told.NOT_PAID, d or "the payment failed"),),
    E.RETURNED: lambda _p, d: (
        ReturnSuspense("the amount did not match"),
        Tell(Told.NOT_PAID, d or "the amount did not match"),
    ),
    E.OVERDUE: lambda p, _d: (Alarm(f"{p.state.value} for too long"),),
    E.DISPUTED: lambda _p, _d: (TakeBack(), Tell(Told.DISPUTED, "the payment is disputed")),
    E.DISPUTE_WON: lambda _p, _d: (GetBack(), Tell(Told.DISPUTE_WON, "the dispute was won")),
    E.DISPUTE_LOST: _lost,
}


def due_event(payment: Payment, now_ms: int) -> PaymentEvent | None:
    """Return what a passed deadline means, None if none has passed."""
    if not payment.deadline_ms or now_ms < payment.deadline_ms:
        return None
    if payment.state is S.CREATED:
        return E.EXPIRED
    if payment.state is S.HELD_FOR_REVIEW:
        over = now_ms >= payment.settled_at_ms + REVIEW_ENDS_MS
        return E.RETURNED if over else E.OVERDUE
    return E.OVERDUE


def next_look_ms(payment: Payment, now_ms: int) -> int:
    """Return when to ask the processor again what became of it: soon while it is young; 0 = no more."""
    age_ms = now_ms - payment.created_at_ms
    if age_ms > WATCHED_MS and payment.state is not S.DISPUTED:
        return 0
    return now_ms + max(FIRST_WATCH_MS, min(LONGEST_WAIT_MS, age_ms // 2))


def next_ask_ms(payment: Payment, now_ms: int) -> int:
    """Return when to ask again whether a pending charge has settled: 250 ms at first, 30 s at most."""
    age_ms = now_ms - payment.created_at_ms
    return now_ms + max(SECOND_MS // 4, min(30 * SECOND_MS, age_ms // 8))


def is_own_money(payment: Payment) -> bool:
    """Tell whether it was paid from the payer's own balance, so that no processor knows it."""
    return payment.processor in OWN_MONEY

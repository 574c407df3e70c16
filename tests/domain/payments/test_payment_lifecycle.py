"""Every pair of state and event of a payment, and what money and contract see of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from decent_cloud.domain.payments import payment_lifecycle as lifecycle
from decent_cloud.domain.payments.payment import Payment, Purpose
from decent_cloud.domain.payments.payment_lifecycle import (
    GAVE_UP,
    PAYMENT,
    REFUNDABLE,
    REVIEW_ALARM_MS,
    REVIEW_ENDS_MS,
    UNPAID_MS,
    Alarm,
    GetBack,
    Hold,
    HoldFromSuspense,
    PaymentEvent,
    ReturnSuspense,
    SetAside,
    ShareLoss,
    TakeBack,
    Tell,
    Told,
    due_event,
    step,
)
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import AccountId, ContractId, PaymentId, TermId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset, Money
from decent_cloud.kernel.status import PaymentState

S, E = PaymentState, PaymentEvent
PAID = Money(100, Asset.USD)
CREATED = Payment(
    id=PaymentId("c1.1.p1"),
    payer=AccountId("aa" * 32),
    purpose=Purpose.TERM,
    contract=ContractId("c1"),
    term=TermId("c1.1"),
    processor="sandbox",
    instrument="test-ok",
    asset=Asset.USD,
    amount_minor=100,
    state=S.CREATED,
    created_at_ms=0,
    deadline_ms=UNPAID_MS,
)

# What each row does beside changing the state.
EFFECTS: dict[tuple[PaymentState, PaymentEvent], list[type[object]]] = {
    (S.CREATED, E.SETTLED): [Hold, Tell],
    (S.CREATED, E.MISMATCHED): [SetAside, Alarm],
    (S.CREATED, E.EXPIRED): [Tell],
    (S.CREATED, E.FAILED): [Tell],
    (S.EXPIRED, E.SETTLED): [SetAside, ReturnSuspense],
    (S.EXPIRED, E.MISMATCHED): [SetAside, ReturnSuspense],
    (S.FAILED, E.SETTLED): [SetAside, ReturnSuspense],
    (S.FAILED, E.MISMATCHED): [SetAside, ReturnSuspense],
    (S.HELD_FOR_REVIEW, E.SETTLED): [HoldFromSuspense, Tell],
    (S.HELD_FOR_REVIEW, E.RETURNED): [ReturnSuspense, Tell],
    (S.HELD_FOR_REVIEW, E.OVERDUE): [Alarm],
    (S.SETTLED, E.DISPUTED): [TakeBack, Tell],
    (S.DISPUTED, E.OVERDUE): [Alarm],
    (S.DISPUTED, E.DISPUTE_WON): [GetBack, Tell],
    (S.DISPUTED, E.DISPUTE_LOST): [ShareLoss, Tell],
    (S.WON, E.DISPUTE_LOST): [TakeBack, ShareLoss, Tell],
}


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
def test_every_pair_does_what_its_row_says_or_is_refused(
    state: PaymentState, event: PaymentEvent
) -> None:
    payment = replace(CREATED, state=state)
    if (state, event) not in EFFECTS:
        assert not PAYMENT.allows(state, event)
        with pytest.raises(IllegalTransition):
            step(payment, event, 5, PAID)
        return
    after, effects = step(payment, event, 5, PAID)
    assert after.state is PAYMENT.table[state, event]
    assert [type(effect) for effect in effects] == EFFECTS[state, event]
    assert after.version == payment.version


def test_every_state_that_must_move_has_a_keeper_and_a_deadline() -> None:
    moving = {state for state, _ in PAYMENT.table}
    assert set(PAYMENT.keepers) == moving
    for (state, event), target in PAYMENT.table.items():
        after, _ = step(replace(CREATED, state=state), event, 5, PAID)
        rests = target in PAYMENT.resting or target in PAYMENT.terminal()
        assert (after.deadline_ms == 0) == rests, (state, event)


def test_terminal_states_are_the_ends_of_the_design() -> None:
    assert PAYMENT.terminal() == {S.SETTLED_LATE, S.RETURNED, S.LOST}
    assert S.LOST not in REFUNDABLE
    assert S.DISPUTED not in REFUNDABLE | GAVE_UP


def test_settled_money_is_held_and_the_contract_goes_on() -> None:
    after, effects = step(CREATED, E.SETTLED, 7, PAID)
    assert effects == (Hold(PAID), Tell(Told.PAID))
    assert (after.received_minor, after.settled_at_ms) == (100, 7)


def test_nothing_settles_without_an_amount() -> None:
    with pytest.raises(Internal):
        step(CREATED, E.SETTLED, 7)


def test_late_money_is_set_aside_and_returned_in_one_step() -> None:
    expired, effects = step(CREATED, E.EXPIRED, 7)
    assert effects == (Tell(Told.NOT_PAID, "not paid in time"),)
    late, effects = step(expired, E.SETTLED, 8, PAID)
    assert late.state is S.SETTLED_LATE
    assert effects == (SetAside(PAID), ReturnSuspense("the money came too late"))


def test_a_review_alarms_after_48_hours_and_returns_the_money_after_72() -> None:
    review, _ = step(CREATED, E.MISMATCHED, 1_000, Money(90, Asset.USD))
    assert due_event(review, 1_000 + REVIEW_ALARM_MS - 1) is None
    assert due_event(review, 1_000 + REVIEW_ALARM_MS) is E.OVERDUE
    alarmed, _ = step(review, E.OVERDUE, 1_000 + REVIEW_ALARM_MS + 9)
    assert alarmed.deadline_ms == 1_000 + REVIEW_ENDS_MS
    assert due_event(alarmed, 1_000 + REVIEW_ENDS_MS - 1) is None
    assert due_event(alarmed, 1_000 + REVIEW_ENDS_MS) is E.RETURNED


def test_an_unpaid_payment_expires_at_its_deadline() -> None:
    assert due_event(CREATED, UNPAID_MS - 1) is None
    assert due_event(CREATED, UNPAID_MS) is E.EXPIRED


def test_an_open_dispute_alarms_but_decides_nothing() -> None:
    disputed, _ = step(replace(CREATED, state=S.SETTLED), E.DISPUTED, 5)
    assert due_event(disputed, disputed.deadline_ms) is E.OVERDUE
    after, effects = step(disputed, E.OVERDUE, disputed.deadline_ms)
    assert after.state is S.DISPUTED
    assert effects == (Alarm("disputed for too long"),)
    assert after.deadline_ms > disputed.deadline_ms


def test_resting_payments_are_never_due() -> None:
    settled, _ = step(CREATED, E.SETTLED, 7, PAID)
    assert due_event(settled, 10**15) is None


def test_the_processor_is_asked_less_and_less_often_and_in_the_end_no_more() -> None:
    waits = []
    now_ms = 0
    while at_ms := lifecycle.next_look_ms(CREATED, now_ms):
        waits.append(at_ms - now_ms)
        now_ms = at_ms
    assert waits == sorted(waits)
    assert waits[0] == lifecycle.FIRST_WATCH_MS
    assert waits[-1] == lifecycle.LONGEST_WAIT_MS
    assert len(waits) < 250
    disputed = replace(CREATED, state=S.DISPUTED)
    assert lifecycle.next_look_ms(disputed, now_ms) > now_ms


def test_a_pending_charge_is_asked_for_again_soon() -> None:
    assert lifecycle.next_ask_ms(CREATED, 0) == 250
    assert lifecycle.next_ask_ms(CREATED, 8_000) == 9_000
    assert lifecycle.next_ask_ms(CREATED, 10_000_000) == 10_030_000

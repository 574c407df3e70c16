"""Every pair of state and event of a refund, and what it books."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from decent_cloud.domain.payments.refund import Refund
from decent_cloud.domain.payments.refund_lifecycle import (
    MAX_ATTEMPTS,
    REFUND,
    RESERVING,
    Book,
    Entry,
    RefundEvent,
    after_failure,
    covered_by_dispute,
    retry_after_ms,
    step,
)
from decent_cloud.kernel.ids import AccountId, ContractId, PaymentId, RefundId, TermId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import PaymentState, RefundState

S, E = RefundState, RefundEvent
PLANNED = Refund(
    id=RefundId("c1.1.p1.r1"),
    payment=PaymentId("c1.1.p1"),
    payee=AccountId("aa" * 32),
    contract=ContractId("c1"),
    term=TermId("c1.1"),
    processor="sandbox",
    asset=Asset.USD,
    amount_minor=60,
    source="held/c1.1",
    state=S.PLANNED,
    created_at_ms=0,
    deadline_ms=1,
)

ENTRIES: dict[tuple[RefundState, RefundEvent], Entry | None] = {
    (S.PLANNED, E.SENT): Entry.SEND,
    (S.PLANNED, E.CHOICE_ASKED): None,
    (S.PLANNED, E.CREDITED): Entry.CREDIT,
    (S.AWAITING_CHOICE, E.SENT): Entry.SEND,
    (S.AWAITING_CHOICE, E.CREDITED): Entry.CREDIT,
    (S.SENT, E.CONFIRMED): Entry.CONFIRM,
    (S.SENT, E.FAILED): Entry.BRING_BACK,
    (S.CONFIRMED, E.FAILED): Entry.GIVE_BACK,
    (S.FAILED, E.RETRIED): None,
    (S.FAILED, E.CREDITED): Entry.CREDIT,
}


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
def test_every_pair_books_what_its_row_says_or_is_refused(
    state: RefundState, event: RefundEvent
) -> None:
    refund = replace(PLANNED, state=state)
    if (state, event) not in ENTRIES:
        assert not REFUND.allows(state, event)
        with pytest.raises(IllegalTransition):
            step(refund, event, 5)
        return
    after, effects = step(refund, event, 5, "re_1")
    entry = ENTRIES[state, event]
    assert after.state is REFUND.table[state, event]
    assert effects == ((Book(entry),) if entry else ())
    rests = after.state in REFUND.resting or after.state in REFUND.terminal()
    assert (after.deadline_ms == 0) == rests


def test_a_refund_reserves_its_money_until_it_is_booked_out() -> None:
    assert REFUND.terminal() == {S.CREDITED}
    assert set(REFUND.keepers) == {state for state, _ in REFUND.table}
    assert {S.PLANNED, S.AWAITING_CHOICE, S.FAILED} == RESERVING


def test_each_sending_is_an_attempt_of_its_own() -> None:
    sent, _ = step(PLANNED, E.SENT, 5)
    failed, _ = step(sent, E.FAILED, 6, "re_1")
    planned, _ = step(failed, E.RETRIED, 7)
    again, _ = step(planned, E.SENT, 8)
    assert (sent.attempts, failed.external) == (1, "re_1")
    assert (again.attempts, again.external) == (2, "")


def test_after_three_attempts_the_tenant_is_credited_but_never_while_disputed() -> None:
    failed = replace(PLANNED, state=S.FAILED, attempts=MAX_ATTEMPTS)
    assert after_failure(replace(failed, attempts=1), PaymentState.SETTLED) is E.RETRIED
    assert after_failure(failed, PaymentState.SETTLED) is E.CREDITED
    assert after_failure(failed, PaymentState.DISPUTED) is E.RETRIED


def test_attempts_come_further_and_further_apart() -> None:
    waits = [retry_after_ms(replace(PLANNED, attempts=n)) for n in (1, 2, 3)]
    assert waits == [5_000, 20_000, 80_000]


def test_a_lost_dispute_closes_a_refund_without_sending_it() -> None:
    covered = covered_by_dispute(PLANNED, 9)
    assert (covered.state, covered.external, covered.deadline_ms) == (S.CONFIRMED, "dispute", 0)

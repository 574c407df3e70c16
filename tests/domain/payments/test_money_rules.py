"""What is earned, what a lost dispute costs whom, and how served time fills terms."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.contracts.contract import Term
from decent_cloud.domain.contracts.served import served_ms, served_of_terms
from decent_cloud.domain.payments.losses import share_loss
from decent_cloud.domain.payments.releases import earned_since, penalty_minor, with_earned
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR
from tests.support.rentals import START_MS, a_contract, a_term

CONTRACT = ContractId("c1")
PAID = replace(a_term(CONTRACT, 1, 10, 1_000), paid=True)
amounts = st.integers(1, MAX_AMOUNT_MINOR)
ppm = st.integers(0, 1_000_000)
moments = st.lists(st.integers(0, 12 * HOUR_MS), max_size=8)


@given(amounts, ppm, moments)
def test_however_often_it_is_released_the_sums_are_those_of_one_release(
    amount_minor: int, fee_ppm: int, served: list[int]
) -> None:
    term = replace(PAID, amount_minor=amount_minor, fee_ppm=fee_ppm)
    for moment_ms in sorted(served):
        earned = earned_since(term, moment_ms, 0)
        assert 0 <= earned.fee_minor <= earned.gross_minor
        term = with_earned(term, earned)
    last_ms = max(served, default=0)
    assert term.released_minor == amount_minor * min(last_ms, 10 * HOUR_MS) // (10 * HOUR_MS)
    assert term.fee_minor == term.released_minor * fee_ppm // 1_000_000
    assert term.held_minor >= 0


def test_the_end_of_a_term_releases_the_remainder_and_no_more() -> None:
    term = replace(PAID, amount_minor=1_001, hours=3)
    for moment_ms in (HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS, 30 * HOUR_MS):
        term = with_earned(term, earned_since(term, moment_ms, 0))
    assert (term.released_minor, term.held_minor) == (1_001, 0)


def test_earned_never_takes_what_an_open_refund_will_take() -> None:
    earned = earned_since(PAID, 10 * HOUR_MS, reserved_minor=700)
    assert earned.gross_minor == 300


def test_a_clock_that_goes_back_takes_nothing_back() -> None:
    term = with_earned(PAID, earned_since(PAID, 5 * HOUR_MS, 0))
    assert earned_since(term, 2 * HOUR_MS, 0).gross_minor == 0


def test_a_penalty_is_rounded_down() -> None:
    assert penalty_minor(999, 100_000) == 99
    assert penalty_minor(0, 100_000) == 0


@given(st.data(), amounts)
def test_a_lost_dispute_is_shared_without_remainder(data: st.DataObject, amount_minor: int) -> None:
    def part(most: int) -> int:
        return data.draw(st.integers(0, most))

    released = part(amount_minor)
    refunded = part(amount_minor - released)
    credited = part(amount_minor - released - refunded)
    term = replace(
        PAID,
        amount_minor=amount_minor,
        released_minor=released,
        fee_minor=part(released),
        refunded_minor=refunded,
        credited_minor=credited,
    )
    taken = part(MAX_AMOUNT_MINOR)
    parts, after = share_loss(term, taken, credit_minor=part(MAX_AMOUNT_MINOR))
    shares = (
        parts.held_minor,
        parts.payable_minor,
        parts.fee_minor,
        parts.credit_minor,
        parts.owed_minor,
        parts.loss_minor,
    )
    assert min(shares) >= 0
    assert sum(shares) == taken
    left = (after.held_minor, after.released_minor, after.fee_minor, after.credited_minor)
    assert min(left) >= 0
    assert after.refunded_minor == refunded
    assert after.fee_minor <= after.released_minor
    if taken >= amount_minor:
        assert (after.held_minor, after.released_minor, after.credited_minor) == (0, 0, 0)


def test_what_was_refunded_before_is_the_platforms_loss() -> None:
    term = replace(PAID, released_minor=400, fee_minor=20, refunded_minor=600)
    parts, after = share_loss(term, 1_000, credit_minor=0)
    assert (parts.payable_minor, parts.fee_minor, parts.loss_minor) == (380, 20, 600)
    assert (after.lost_minor, after.refunded_minor) == (400, 600)


def test_credit_that_is_spent_is_owed() -> None:
    term = replace(PAID, credited_minor=300)
    parts, _ = share_loss(term, 1_000, credit_minor=200)
    assert (parts.held_minor, parts.credit_minor, parts.owed_minor) == (700, 200, 100)


def test_served_time_stands_while_the_clock_stands_and_ends_with_what_is_paid() -> None:
    contract = a_contract(CONTRACT, 10, 1_000, START_MS)
    assert served_ms(contract, START_MS + HOUR_MS) == 0
    running = replace(
        contract,
        served_ms=HOUR_MS,
        clock_from_ms=START_MS,
        paid_until_ms=START_MS + 9 * HOUR_MS,
    )
    assert served_ms(running, START_MS + 2 * HOUR_MS) == 3 * HOUR_MS
    assert served_ms(running, START_MS + 90 * HOUR_MS) == 10 * HOUR_MS
    assert served_ms(running, START_MS - HOUR_MS) == HOUR_MS


def served(hours: list[int], paid: list[bool], total_ms: int) -> tuple[int, ...]:
    terms: tuple[Term, ...] = tuple(
        replace(a_term(CONTRACT, n, h, 100), paid=p)
        for n, (h, p) in enumerate(zip(hours, paid, strict=True), 1)
    )
    return served_of_terms(terms, total_ms)


def test_served_time_fills_terms_in_their_order() -> None:
    assert served([2, 3], [True, True], 4 * HOUR_MS) == (2 * HOUR_MS, 2 * HOUR_MS)
    assert served([2, 3], [True, True], 9 * HOUR_MS) == (2 * HOUR_MS, 3 * HOUR_MS)


def test_a_term_nobody_paid_takes_no_served_time() -> None:
    assert served([2, 3, 1], [True, False, True], 3 * HOUR_MS) == (2 * HOUR_MS, 0, HOUR_MS)

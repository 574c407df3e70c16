"""Quotes: rounded up, locked for ten minutes, used once, and only of a price that is there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.pricing.breaker import MAX_AGE_MS, Accepted, Standing, unheard
from decent_cloud.domain.pricing.errors import PriceUnavailable, QuoteExpired, QuoteUsed
from decent_cloud.domain.pricing.numbers import E12, MAX_E12
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import (
    QUOTABLE_MS,
    VALID_MS,
    Quote,
    quotable,
    showable,
    spend,
    state_now,
    tokens_for,
)
from decent_cloud.domain.pricing.rounds import TOKENS
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId, Kid
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR, Asset
from decent_cloud.kernel.prices import PriceOrigin
from decent_cloud.kernel.status import PriceState
from tests.domain.pricing.looks import NOW_MS

OK, DEGRADED, HALTED = PriceState.OK, PriceState.DEGRADED, PriceState.HALTED


def standing(state: PriceState, at_ms: int = NOW_MS) -> Standing:
    accepted = Accepted(5 * E12, at_ms, 7, ("a", "b"))
    return Standing(Asset.ICP, state, accepted, None, 0, "" if state is OK else "why", at_ms, at_ms)


def by_hand(until_ms: int = NOW_MS + 1) -> OperatorPrice:
    return OperatorPrice(
        Asset.ICP, 1, 4 * E12, until_ms, NOW_MS - 1, AccountId("a" * 64), Kid("k"), "{}"
    )


def quote() -> Quote:
    return Quote(
        "q1", AccountId("a" * 64), Asset.ICP, 1, 1, 5 * E12, PriceOrigin.MARKET, (), NOW_MS, NOW_MS + VALID_MS
    )  # fmt: skip


def test_the_market_is_quoted_while_it_is_ok() -> None:
    found = quotable(Asset.ICP, standing(OK), by_hand(), NOW_MS)
    assert (found.price_e12, found.origin, found.observations) == (
        5 * E12,
        PriceOrigin.MARKET,
        ("a", "b"),
    )


@pytest.mark.parametrize("state", [DEGRADED, HALTED])
def test_the_operators_word_counts_where_the_market_has_none_and_says_so(state: PriceState) -> None:
    found = quotable(Asset.ICP, standing(state), by_hand(), NOW_MS)
    assert (found.price_e12, found.origin, found.until_ms) == (
        4 * E12,
        PriceOrigin.OPERATOR,
        NOW_MS + 1,
    )
    assert quotable(Asset.ICP, None, by_hand(), NOW_MS).origin is PriceOrigin.OPERATOR


def test_a_price_by_hand_ends_at_its_time_and_at_a_word() -> None:
    for over in (by_hand(NOW_MS), replace(by_hand(), withdrawn_at_ms=NOW_MS)):
        with pytest.raises(PriceUnavailable):
            quotable(Asset.ICP, standing(HALTED), over, NOW_MS)


def test_a_degraded_price_is_shown_and_not_quoted() -> None:
    with pytest.raises(PriceUnavailable, match="no price of ICP: why"):
        quotable(Asset.ICP, standing(DEGRADED), None, NOW_MS)
    assert showable(Asset.ICP, standing(DEGRADED), None, NOW_MS).price_e12 == 5 * E12


def test_a_halted_price_is_neither() -> None:
    for use in (quotable, showable):
        with pytest.raises(PriceUnavailable, match="why"):
            use(Asset.ICP, standing(HALTED), None, NOW_MS)
        with pytest.raises(PriceUnavailable, match="no source has been asked yet"):
            use(Asset.ICP, None, None, NOW_MS)
        with pytest.raises(PriceUnavailable, match="no source has been asked yet"):
            use(Asset.ICP, unheard(Asset.ICP, NOW_MS), None, NOW_MS)


def test_a_price_that_no_round_renews_ages_by_itself() -> None:
    found = standing(OK)
    assert quotable(Asset.ICP, found, None, NOW_MS + QUOTABLE_MS).price_e12 == 5 * E12
    assert state_now(found, NOW_MS + QUOTABLE_MS) is OK
    with pytest.raises(PriceUnavailable, match="the newest round is 3 min old"):
        quotable(Asset.ICP, found, None, NOW_MS + QUOTABLE_MS + 1)
    assert state_now(found, NOW_MS + QUOTABLE_MS + 1) is DEGRADED
    assert showable(Asset.ICP, found, None, NOW_MS + MAX_AGE_MS).price_e12 == 5 * E12
    with pytest.raises(PriceUnavailable, match="15 min old"):
        showable(Asset.ICP, found, None, NOW_MS + MAX_AGE_MS + 1)
    assert state_now(found, NOW_MS + MAX_AGE_MS + 1) is HALTED


def test_tokens_are_rounded_up() -> None:
    assert tokens_for(100, 5 * E12, Asset.ICP) == 20_000_000  # $1 at $5
    assert tokens_for(1, 3 * E12, Asset.ICP) == 333_334
    assert tokens_for(1, 60_000 * E12, Asset.CKBTC) == 17
    assert tokens_for(100, E12, Asset.CKUSDC) == 1_000_000
    assert tokens_for(204, 20_400_000_000, Asset.DCT) == 100 * 10**9


@given(st.integers(1, 10**9), st.integers(10**6, MAX_E12), st.sampled_from(TOKENS))
def test_what_is_paid_covers_the_amount_by_less_than_one_unit(
    dollars_minor: int, price_e12: int, asset: Asset
) -> None:
    exact = Fraction(dollars_minor * 10**asset.decimals * E12, 100 * price_e12)
    if exact > MAX_AMOUNT_MINOR:
        with pytest.raises(Invalid):
            tokens_for(dollars_minor, price_e12, asset)
    else:
        assert 0 <= tokens_for(dollars_minor, price_e12, asset) - exact < 1


@pytest.mark.parametrize("dollars_minor", [0, -1])
def test_nothing_is_not_quoted(dollars_minor: int) -> None:
    with pytest.raises(Invalid, match="above 0"):
        tokens_for(dollars_minor, E12, Asset.ICP)


def test_a_quote_ends_at_exactly_ten_minutes() -> None:
    assert spend(quote(), "c1", NOW_MS + VALID_MS - 1).used_for == "c1"
    with pytest.raises(QuoteExpired):
        spend(quote(), "c1", NOW_MS + VALID_MS)


def test_a_quote_is_used_once_and_the_same_use_changes_nothing() -> None:
    used = spend(quote(), "c1", NOW_MS)
    assert spend(used, "c1", NOW_MS + 2 * VALID_MS) is used
    with pytest.raises(QuoteUsed):
        spend(used, "c2", NOW_MS)

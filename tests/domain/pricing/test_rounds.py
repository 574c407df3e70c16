"""Rounds: what each token's price rests on, and what happens to it when a part of that is missing or bent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from decent_cloud.domain.pricing.breaker import Accepted, Standing
from decent_cloud.domain.pricing.errors import PriceUnavailable
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Observation
from decent_cloud.domain.pricing.quotes import quotable, showable
from decent_cloud.domain.pricing.rounds import (
    MAX_USD_PER_XDR_E12,
    MIN_USD_PER_XDR_E12,
    SAMPLES_NEEDED,
    TOKENS,
    judge,
)
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceSource
from decent_cloud.kernel.status import PriceState
from tests.domain.pricing.looks import (
    DIRECT,
    FLOOR_MINOR,
    IN_TETHER,
    NOW_MS,
    TRUTH,
    in_icp,
    lying,
    market,
    rounds,
    said,
    samples,
    seen,
    without,
)

OK, DEGRADED, HALTED = PriceState.OK, PriceState.DEGRADED, PriceState.HALTED
GOOD_ROUNDS = 5  # three for ICP, the third of which is the first for what is quoted in it
NEXT_MS = NOW_MS + GOOD_ROUNDS * MINUTE_MS
Looks = list[Observation]


def after(
    bend: Callable[[Looks], Looks],
    *,
    thin: tuple[Observation, ...] | None = None,
    before: Accepted | None = None,
) -> dict[Asset, Standing]:
    """Return the standings after good rounds and one that is bent."""
    looks = bend(market(NEXT_MS))
    found = judge(rounds(GOOD_ROUNDS), seen(looks, now_ms=NEXT_MS, thin=thin, before=before))
    return {one.asset: one for one in found}


def honest(looks: Looks) -> Looks:
    return looks


def test_honest_rounds_price_everything() -> None:
    found = rounds(GOOD_ROUNDS)
    assert {one.state for one in found.values()} == {OK}
    prices = {asset: one.accepted.price_e12 for asset, one in found.items() if one.accepted}
    assert prices == {
        Asset.ICP: TRUTH[Coin.ICP],
        Asset.CKBTC: TRUTH[Coin.BTC],
        Asset.CKUSDC: TRUTH[Coin.USDC],
        Asset.CKUSDT: TRUTH[Coin.USDT],
        Asset.DCT: TRUTH[Coin.DCT],
    }
    assert set(prices) == set(TOKENS)


def test_a_price_names_every_observation_it_rests_on() -> None:
    accepted = rounds(3)[Asset.ICP].accepted
    assert accepted is not None
    sources = {one.split(":")[0] for one in accepted.observations}
    assert sources == {
        "coinbase",
        "kraken",
        "binance",
        "kucoin",
        "okx",
        "coingecko",
    }  # gecko: the tether leg


def test_a_source_that_was_dead_from_the_start_gives_no_price_with_the_reason_and_never_one_dollar() -> (
    None
):
    """The reference product starts at $1.00 and keeps it while its only source is gone."""
    found: dict[Asset, Standing] = {}
    for minute in range(30):
        now_ms = NOW_MS + minute * MINUTE_MS
        found = {one.asset: one for one in judge(found, seen([], now_ms=now_ms, thin=()))}
    for asset in TOKENS:
        standing = found[asset]
        assert (standing.state, standing.accepted, standing.candidate) == (HALTED, None, None)
        for use in (quotable, showable):
            with pytest.raises(PriceUnavailable) as refused:
                use(asset, standing, None, NOW_MS + HOUR_MS)
            assert refused.value.details["reason"] == standing.reason != ""
    assert found[Asset.ICP].reason == "0 of 3 independent sources are fresh"
    assert found[Asset.DCT].reason == "the pool has not answered lately"


def test_only_the_thin_pool_dead_from_the_start_leaves_only_its_token_without_a_price() -> None:
    found: dict[Asset, Standing] = {}
    for minute in range(5):
        now_ms = NOW_MS + minute * MINUTE_MS
        looks = without(market(now_ms), PriceSource.ICPSWAP)
        found = {one.asset: one for one in judge(found, seen(looks, now_ms=now_ms, thin=()))}
    assert found[Asset.ICP].state is OK
    assert found[Asset.DCT].accepted is None
    assert found[Asset.CKUSDC].accepted is None
    assert found[Asset.CKUSDC].reason == "no fresh pool price of ckUSDC to compare with"


@pytest.mark.parametrize("source", [*DIRECT, *IN_TETHER, PriceSource.COINGECKO])
def test_any_one_exchange_may_fail(source: PriceSource) -> None:
    found = after(lambda looks: without(looks, source))
    assert {one.state for one in found.values()} == {OK}


def test_without_tether_in_dollars_its_exchanges_do_not_count() -> None:
    found = after(
        lambda looks: [one for one in looks if (one.base, one.quote) != (Coin.USDT, Coin.USD)]
    )
    # Coinbase, Kraken and the aggregate are left: three.
    assert found[Asset.ICP].state is OK
    assert found[Asset.CKUSDT].state is HALTED
    found = after(
        lambda looks: [
            one
            for one in without(looks, PriceSource.COINGECKO)
            if (one.base, one.quote) != (Coin.USDT, Coin.USD)
        ]
    )
    assert found[Asset.ICP].state is HALTED
    assert found[Asset.ICP].reason == "2 of 3 independent sources are fresh (coinbase, kraken)"


def test_a_tether_off_its_dollar_moves_no_price_that_goes_through_it() -> None:
    truth = {**TRUTH, Coin.USDT: E12 * 9 // 10}
    looks = [
        # Sold for a tenth more tethers, each worth a tenth less.
        said(one.source, one.base, one.quote, one.price_e12 * 10 // 9, now_ms=NEXT_MS)
        if one.quote is Coin.USDT
        else one
        for one in market(NEXT_MS, truth)
    ]
    found = {one.asset: one for one in judge(rounds(GOOD_ROUNDS), seen(looks, now_ms=NEXT_MS))}
    accepted = found[Asset.ICP].accepted
    assert accepted is not None
    assert abs(accepted.price_e12 - TRUTH[Coin.ICP]) <= 5
    assert (
        found[Asset.CKUSDT].state is OK
    )  # 10 % in a round is no jump, and it is what a tether costs


def test_sources_that_lie_apart_degrade() -> None:
    found = after(
        lambda looks: lying(lying(looks, PriceSource.COINBASE, 102, 100), PriceSource.OKX, 99, 100)
    )
    assert found[Asset.ICP].state is DEGRADED
    assert "apart" in found[Asset.ICP].reason
    assert found[Asset.ICP].accepted == rounds(GOOD_ROUNDS)[Asset.ICP].accepted
    # What is quoted in ICP has no firm ground now.
    assert found[Asset.DCT].state is DEGRADED
    assert found[Asset.DCT].reason == "ICP, which the pool quotes in, is degraded"


@pytest.mark.parametrize(
    ("numerator", "state"), [(1_030, OK), (1_031, DEGRADED), (970, OK), (969, DEGRADED)]
)
def test_a_ck_token_holds_just_beyond_three_percent_off_what_it_stands_for(
    numerator: int, state: PriceState
) -> None:
    found = after(
        lambda looks: [
            said(
                one.source,
                one.base,
                one.quote,
                in_icp(TRUTH, Coin.CKUSDC) * numerator // 1_000,
                now_ms=NEXT_MS,
            )
            if one.base is Coin.CKUSDC
            else one
            for one in looks
        ]
    )
    assert found[Asset.CKUSDC].state is state
    assert found[Asset.CKUSDT].state is OK


@pytest.mark.parametrize(("depth_minor", "state"), [(FLOOR_MINOR, OK), (FLOOR_MINOR - 1, HALTED)])
def test_a_pool_counts_from_exactly_its_floor(depth_minor: int, state: PriceState) -> None:
    def shallow(looks: Looks) -> Looks:
        return [
            said(
                one.source,
                one.base,
                one.quote,
                one.price_e12,
                now_ms=NEXT_MS,
                depth_minor=depth_minor,
            )
            if one.base is Coin.CKBTC
            else one
            for one in looks
        ]

    assert after(shallow)[Asset.CKBTC].state is state


@pytest.mark.parametrize(
    ("count", "spread_ppm", "state"),
    [
        (SAMPLES_NEEDED, 0, OK),
        (SAMPLES_NEEDED - 1, 0, HALTED),
        (60, 49_999, OK),
        (60, 50_000, HALTED),
    ],
)
def test_a_thin_market_needs_thirty_samples_with_both_ways_close(
    count: int, spread_ppm: int, state: PriceState
) -> None:
    thin = samples(count, NEXT_MS, spread_ppm=spread_ppm)
    found = after(honest, thin=thin)
    assert found[Asset.DCT].state is state
    if state is HALTED:
        assert "of 30 usable samples in the last hour" in found[Asset.DCT].reason


def test_samples_older_than_an_hour_do_not_count() -> None:
    thin = samples(30, NEXT_MS - 31 * MINUTE_MS)  # the oldest is exactly an hour old
    assert after(honest, thin=thin)[Asset.DCT].state is HALTED
    thin = samples(30, NEXT_MS - 30 * MINUTE_MS)
    assert after(honest, thin=thin)[Asset.DCT].state is OK


def test_one_manipulated_minute_of_a_thin_pool_moves_nothing() -> None:
    thin = (*samples(59, NEXT_MS), *samples(1, NEXT_MS, price_e12=E12))
    accepted = after(honest, thin=thin)[Asset.DCT].accepted
    assert accepted is not None
    assert accepted.price_e12 == TRUTH[Coin.DCT]


@pytest.mark.parametrize(
    ("moved_ppm", "age_ms", "state"),
    [
        (100_000, HOUR_MS, OK),
        (100_100, HOUR_MS, DEGRADED),
        (-100_000, HOUR_MS, OK),
        (-100_100, HOUR_MS, DEGRADED),
        (100_100, 10 * MINUTE_MS, DEGRADED),
        (100_100, 2 * HOUR_MS, OK),  # twice the time, twice the room
    ],
)
def test_a_thin_market_moves_ten_percent_an_hour_and_no_further(
    moved_ppm: int, age_ms: int, state: PriceState
) -> None:
    now_e12 = in_icp(TRUTH, Coin.DCT) * (1_000_000 + moved_ppm) // 1_000_000
    before = Accepted(TRUTH[Coin.DCT], NEXT_MS - age_ms, 0, ())
    found = after(honest, thin=samples(60, NEXT_MS, price_e12=now_e12), before=before)[Asset.DCT]
    assert found.state is state
    assert found.accepted is not None
    off_e12 = abs(found.accepted.price_e12 - TRUTH[Coin.DCT])
    if state is DEGRADED:
        assert off_e12 == TRUTH[Coin.DCT] // 10
        assert found.reason == "moves faster than 10 % an hour"


def test_the_networks_own_rate_stops_an_impossible_price() -> None:
    rate_e12 = 4 * E12
    low, high = (bound * 4 // 5 for bound in (MIN_USD_PER_XDR_E12, MAX_USD_PER_XDR_E12))

    def with_rate(xdr_e12: int) -> Callable[[Looks], Looks]:
        rate = said(PriceSource.CMC, Coin.ICP, Coin.XDR, xdr_e12, now_ms=NEXT_MS)
        return lambda looks: [*looks, rate]

    assert low < E12 < high
    assert after(with_rate(rate_e12))[Asset.ICP].state is OK
    stopped = after(with_rate(10 * rate_e12))[Asset.ICP]
    assert stopped.state is HALTED
    assert stopped.reason == "5 USD does not fit 40 XDR, the network's own rate"
    assert after(with_rate(rate_e12 // 10))[Asset.ICP].state is HALTED


def test_a_stale_rate_of_the_network_stops_nothing() -> None:
    old = said(PriceSource.CMC, Coin.ICP, Coin.XDR, 40 * E12, now_ms=NEXT_MS, age_ms=2 * HOUR_MS)
    assert after(lambda looks: [*looks, old])[Asset.ICP].state is OK


def test_stale_sources_are_no_sources() -> None:
    def aged(looks: Looks) -> Looks:
        return [
            said(one.source, one.base, one.quote, one.price_e12, now_ms=NEXT_MS, age_ms=301_000)
            for one in looks
        ]

    found = after(aged)
    assert found[Asset.ICP].state is HALTED
    assert found[Asset.ICP].reason == "0 of 3 independent sources are fresh"


def test_prices_come_back_after_three_rounds_and_not_before() -> None:
    broken = after(lambda _looks: [])
    start_ms = NEXT_MS + MINUTE_MS
    assert rounds(2, broken, start_ms)[Asset.ICP].state is HALTED
    assert rounds(3, broken, start_ms)[Asset.ICP].state is OK

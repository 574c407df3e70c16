"""Consensus: enough fresh, independent sources, and no single one that can move the price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.pricing.consensus import Agreed, NoPrice, Path, agree
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import STALE_AFTER_MS, two_ways
from decent_cloud.domain.pricing.rounds import judge
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceSource
from decent_cloud.kernel.status import PriceState
from tests.domain.pricing.looks import NOW_MS, TRUTH, lying, market, rounds, said, seen

EXCHANGES = (
    PriceSource.COINBASE,
    PriceSource.KRAKEN,
    PriceSource.BINANCE,
    PriceSource.KUCOIN,
    PriceSource.OKX,
)


def path(source: PriceSource, price_e12: int) -> Path:
    return Path(source, price_e12, (said(source, Coin.ICP, Coin.USD, price_e12),))


def paths(*prices_e12: int) -> tuple[Path, ...]:
    return tuple(path(*one) for one in zip(EXCHANGES, prices_e12, strict=False))


def test_the_median_is_the_price() -> None:
    found = agree(paths(99, 100, 101), 3)
    assert isinstance(found, Agreed)
    assert (found.price_e12, found.spread_ppm, found.wide) == (100, 20_000, False)


def test_the_spread_is_wide_just_above_its_limit() -> None:
    found = agree(paths(99_000, 100_000, 101_001), 3)
    assert isinstance(found, Agreed)
    assert (found.spread_ppm, found.wide) == (20_010, True)


def test_an_outlier_goes_just_beyond_its_limit() -> None:
    near = agree(paths(100_000, 100_000, 100_000, 105_000), 3)
    far = agree(paths(100_000, 100_000, 100_000, 105_001), 3)
    assert isinstance(near, Agreed)
    assert isinstance(far, Agreed)
    assert (len(near.paths), len(far.paths)) == (4, 3)
    assert (near.wide, far.wide) == (True, False)


def test_two_sources_are_too_few_for_a_coin_that_is_traded_everywhere() -> None:
    found = agree(paths(100, 100), 3)
    assert found == NoPrice("2 of 3 independent sources are fresh (coinbase, kraken)")
    assert agree((), 3) == NoPrice("0 of 3 independent sources are fresh")


def test_three_that_contradict_each_other_give_no_price() -> None:
    found = agree(paths(90_000, 100_000, 110_000), 3)
    assert isinstance(found, NoPrice)
    assert "within 5 %" in found.reason


def test_an_aggregate_counts_only_while_exchanges_are_few() -> None:
    gecko = path(PriceSource.COINGECKO, 104)
    few = agree((*paths(100, 100), gecko), 3)
    enough = agree((*paths(100, 100, 100), gecko), 3)
    assert isinstance(few, Agreed)
    assert isinstance(enough, Agreed)
    assert gecko in few.paths
    assert gecko not in enough.paths


START = rounds(5)
HONEST = st.integers(99_500, 100_500)


@given(st.lists(HONEST, min_size=2, max_size=4), st.integers(1, 10**12), st.data())
def test_one_liar_never_moves_the_price_beyond_the_honest(
    honest: list[int], lie: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(honest)))
    found = agree(paths(*honest[:place], lie, *honest[place:]), 3)
    if isinstance(found, Agreed):
        assert min(honest) <= found.price_e12 <= max(honest)


@given(st.lists(st.integers(1, 10**9), max_size=5), st.integers(1, 5))
def test_no_price_comes_of_fewer_than_asked_for(prices: list[int], at_least: int) -> None:
    found = agree(paths(*prices), at_least)
    if len(prices) < at_least:
        assert isinstance(found, NoPrice)
    if isinstance(found, Agreed):
        assert len(found.paths) >= at_least
        assert min(prices) <= found.price_e12 <= max(prices)


@given(st.sampled_from(list(PriceSource)), st.integers(1, 1_000), st.integers(1, 1_000))
def test_one_lying_source_never_moves_a_quotable_price_beyond_the_band(
    liar: PriceSource, numerator: int, denominator: int
) -> None:
    """Whatever one source says of everything, also of the tether that others' prices go through."""
    now_ms = NOW_MS + 5 * MINUTE_MS
    looks = lying(market(now_ms), liar, numerator, denominator)
    for standing in judge(START, seen(looks, now_ms=now_ms)):
        if standing.asset is not Asset.DCT and standing.state is PriceState.OK:
            coin = Coin(standing.asset.value.removeprefix("ck"))
            assert standing.accepted is not None
            off = abs(standing.accepted.price_e12 - TRUTH[coin])
            assert off * 100 <= TRUTH[coin]  # 1 %, and mostly nothing


@pytest.mark.parametrize("source", list(PriceSource))
def test_an_observation_is_fresh_until_exactly_its_limit(source: PriceSource) -> None:
    limit_ms = STALE_AFTER_MS[source]
    assert said(source, Coin.ICP, Coin.USD, E12, age_ms=limit_ms).fresh(NOW_MS)
    assert not said(source, Coin.ICP, Coin.USD, E12, age_ms=limit_ms + 1).fresh(NOW_MS)
    assert said(source, Coin.ICP, Coin.USD, E12, age_ms=-60_000).fresh(NOW_MS)
    assert not said(source, Coin.ICP, Coin.USD, E12, age_ms=-60_001).fresh(NOW_MS)


def test_both_ways_of_a_pool_have_a_middle_and_a_distance() -> None:
    assert two_ways(105, 95) == (100, 100_000)
    assert two_ways(0, 0) == (0, 0)

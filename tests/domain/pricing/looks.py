"""What sources say in a test: a whole market around one truth, and each way to bend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from decent_cloud.domain.pricing.breaker import Accepted, Standing
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Observation, Pair
from decent_cloud.domain.pricing.rounds import Seen, judge
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceSource

NOW_MS = 1_700_000_000_000
FLOOR_MINOR = 500_000
DEEP_MINOR = 10_000_000
TRUTH = {
    Coin.ICP: 5 * E12,
    Coin.BTC: 60_000 * E12,
    Coin.USDC: E12,
    Coin.USDT: E12,
    Coin.DCT: E12 // 50,
}
DIRECT = (PriceSource.COINBASE, PriceSource.KRAKEN)
IN_TETHER = (PriceSource.BINANCE, PriceSource.KUCOIN, PriceSource.OKX)
PEGGED = {Coin.CKBTC: Coin.BTC, Coin.CKUSDC: Coin.USDC, Coin.CKUSDT: Coin.USDT}


def said(
    source: PriceSource,
    base: Coin,
    quote: Coin,
    price_e12: int,
    *,
    age_ms: int = 0,
    now_ms: int = NOW_MS,
    depth_minor: int = DEEP_MINOR,
    spread_ppm: int = 0,
) -> Observation:
    at_ms = now_ms - age_ms
    pool = source is PriceSource.ICPSWAP
    return Observation(
        id=f"{source.value}:{base.value}/{quote.value}:{at_ms}",
        source=source,
        base=base,
        quote=quote,
        price_e12=price_e12,
        observed_at_ms=at_ms,
        received_at_ms=now_ms,
        spread_ppm=spread_ppm,
        depth_usd_minor=depth_minor if pool else 0,
    )


def market(now_ms: int = NOW_MS, truth: Mapping[Coin, int] = TRUTH) -> list[Observation]:
    """Return what all sources say when all of them are honest."""
    found = [
        said(source, coin, Coin.USD, truth[coin], now_ms=now_ms)
        for source in DIRECT
        for coin in (Coin.ICP, Coin.BTC, Coin.USDC, Coin.USDT)
    ]
    found += [
        said(source, coin, Coin.USDT, truth[coin], now_ms=now_ms)
        for source in IN_TETHER
        for coin in (Coin.ICP, Coin.BTC)
    ]
    found += [
        said(PriceSource.COINGECKO, coin, Coin.USD, truth[coin], now_ms=now_ms)
        for coin in (Coin.ICP, Coin.BTC, Coin.USDC, Coin.USDT)
    ]
    found += [
        said(PriceSource.ICPSWAP, coin, Coin.ICP, in_icp(truth, coin), now_ms=now_ms)
        for coin in (*PEGGED, Coin.DCT)
    ]
    return found


def in_icp(truth: Mapping[Coin, int], coin: Coin) -> int:
    return truth[PEGGED.get(coin, coin)] * E12 // truth[Coin.ICP]


def samples(
    count: int = 60, now_ms: int = NOW_MS, price_e12: int | None = None, spread_ppm: int = 0
) -> tuple[Observation, ...]:
    """Return the thin pool's last minutes, newest last."""
    worth_e12 = in_icp(TRUTH, Coin.DCT) if price_e12 is None else price_e12
    return tuple(
        said(
            PriceSource.ICPSWAP,
            Coin.DCT,
            Coin.ICP,
            worth_e12,
            age_ms=minute * MINUTE_MS,
            now_ms=now_ms,
            spread_ppm=spread_ppm,
        )
        for minute in reversed(range(count))
    )


def seen(
    observations: Iterable[Observation],
    *,
    now_ms: int = NOW_MS,
    thin: tuple[Observation, ...] | None = None,
    before: Accepted | None = None,
) -> Seen:
    minutes = samples(now_ms=now_ms) if thin is None else thin
    return Seen(tuple(observations), minutes, before, FLOOR_MINOR, now_ms)


def without(observations: Iterable[Observation], *sources: PriceSource) -> list[Observation]:
    return [one for one in observations if one.source not in sources]


def lying(
    observations: Iterable[Observation], source: PriceSource, numerator: int, denominator: int
) -> list[Observation]:
    """Return the market with one source's every price off by a factor."""
    return [
        replace(one, price_e12=max(1, one.price_e12 * numerator // denominator))
        if one.source is source
        else one
        for one in observations
    ]


def rounds(
    number: int,
    standings: Mapping[Asset, Standing] | None = None,
    start_ms: int = NOW_MS,
    bend: tuple[PriceSource, int, int] | None = None,
) -> dict[Asset, Standing]:
    """Return how prices stand after so many honest rounds, a minute apart."""
    found = dict(standings or {})
    for minute in range(number):
        now_ms = start_ms + minute * MINUTE_MS
        looks = market(now_ms)
        if bend is not None:
            looks = lying(looks, *bend)
        found = {one.asset: one for one in judge(found, seen(looks, now_ms=now_ms))}
    return found


def pair(base: Coin, quote: Coin) -> Pair:
    return Pair(base, quote)

"""One round: the newest observations of everything, and where each asset's price stands after them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from decent_cloud.domain.pricing.breaker import (
    Accepted,
    Outcome,
    RoundEvent,
    Standing,
    after_round,
    good,
    unheard,
)
from decent_cloud.domain.pricing.consensus import Agreed, NoPrice, Path, agree
from decent_cloud.domain.pricing.numbers import E12, PPM, apart_ppm, median, text_of, times
from decent_cloud.domain.pricing.observation import Observation, Pair
from decent_cloud.kernel.clock import HOUR_MS
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceSource
from decent_cloud.kernel.status import PriceState

TOKENS = (Asset.ICP, Asset.CKBTC, Asset.CKUSDC, Asset.CKUSDT, Asset.DCT)

EXCHANGES_NEEDED = 3  # for a coin that is traded everywhere
DOLLAR_SOURCES_NEEDED = 2  # few exchanges trade a stable coin against real dollars
MAX_OFF_PEG_PPM = 30_000
WINDOW_MS = HOUR_MS
SAMPLES_NEEDED = 30
MAX_TWO_WAYS_PPM = 50_000
MAX_MOVE_PPM_PER_HOUR = 100_000
# What an XDR can be worth: since 1981 it has stayed between 0.93 and 1.63 dollars. A bound on sanity, no price.
MIN_USD_PER_XDR_E12 = 9 * E12 // 10
MAX_USD_PER_XDR_E12 = 18 * E12 // 10

_PEGS = {
    Asset.CKBTC: (Coin.CKBTC, Coin.BTC),
    Asset.CKUSDC: (Coin.CKUSDC, Coin.USDC),
    Asset.CKUSDT: (Coin.CKUSDT, Coin.USDT),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a round judges: the newest observation of each source and pair, and a thin market's last hour.

    `before` is the thin market's accepted price an hour ago, or the oldest since; `pool_floor_usd_minor` is how much a
    pool must be able to take to count.
    """

    newest: tuple[Observation, ...]
    samples: tuple[Observation, ...]
    before: Accepted | None
    pool_floor_usd_minor: int
    now_ms: int

    def fresh(self, pair: Pair) -> tuple[Observation, ...]:
        """Return what is fresh of a pair, one a source."""
        return tuple(o for o in self.newest if o.pair == pair and o.fresh(self.now_ms))

    def one(self, source: PriceSource, pair: Pair) -> Observation | None:
        """Return a source's fresh observation of a pair."""
        return next((o for o in self.fresh(pair) if o.source is source), None)


def judge(standings: Mapping[Asset, Standing], seen: Seen) -> tuple[Standing, ...]:
    """Return every token's standing after a round; ICP first, since pools quote in it."""
    now_ms = seen.now_ms
    dollars = {coin: _against_dollars(seen, coin) for coin in (Coin.USDC, Coin.USDT)}
    tether = dollars[Coin.USDT]
    leg = tether if isinstance(tether, Agreed) and not tether.wide else None
    agreed = {coin: _everywhere(seen, coin, leg) for coin in (Coin.ICP, Coin.BTC)} | dollars
    icp = _after(standings, Asset.ICP, _in_band(seen, _outcome(agreed[Coin.ICP], seen)), now_ms)
    after = [icp]
    for asset, (coin, stands_for) in _PEGS.items():
        outcome = _pegged(seen, coin, _outcome(agreed[stands_for], seen), icp)
        after.append(_after(standings, asset, outcome, now_ms))
    after.append(_after(standings, Asset.DCT, _thin(seen, icp), now_ms))
    return tuple(after)


def _after(
    standings: Mapping[Asset, Standing], asset: Asset, outcome: Outcome, now_ms: int
) -> Standing:
    return after_round(standings.get(asset) or unheard(asset, now_ms), outcome, now_ms)


def _against_dollars(seen: Seen, coin: Coin) -> Agreed | NoPrice:
    paths = _direct(seen, coin)
    return agree(paths, DOLLAR_SOURCES_NEEDED)


def _everywhere(seen: Seen, coin: Coin, tether: Agreed | None) -> Agreed | NoPrice:
    """Combine real dollar prices with those in tether, if tether's own worth is known."""
    through = () if tether is None else tuple(_through(seen, coin, tether))
    return agree((*_direct(seen, coin), *through), EXCHANGES_NEEDED)


def _direct(seen: Seen, coin: Coin) -> tuple[Path, ...]:
    found = seen.fresh(Pair(coin, Coin.USD))
    return tuple(Path(one.source, one.price_e12, (one,)) for one in found)


def _through(seen: Seen, coin: Coin, tether: Agreed) -> Iterable[Path]:
    legs = tuple(one for path in tether.paths for one in path.observations)
    for one in seen.fresh(Pair(coin, Coin.USDT)):
        yield Path(one.source, times(one.price_e12, tether.price_e12), (one, *legs))


def _outcome(found: Agreed | NoPrice, seen: Seen) -> Outcome:
    if isinstance(found, NoPrice):
        return _bad(RoundEvent.TOO_FEW, found.reason)
    if found.wide:
        return _bad(RoundEvent.WIDE, f"sources lie {_percent(found.spread_ppm)} apart")
    used = dict.fromkeys(one.id for path in found.paths for one in path.observations)
    return good(Accepted(found.price_e12, seen.now_ms, found.spread_ppm, tuple(used)))


def _in_band(seen: Seen, outcome: Outcome) -> Outcome:
    """Refuse an ICP price that the network's own rate in XDR makes impossible; without that rate nothing is refused."""
    rate = seen.one(PriceSource.CMC, Pair(Coin.ICP, Coin.XDR))
    if outcome.found is None or rate is None:
        return outcome
    low_e12 = times(rate.price_e12, MIN_USD_PER_XDR_E12)
    high_e12 = times(rate.price_e12, MAX_USD_PER_XDR_E12)
    if low_e12 <= outcome.found.price_e12 <= high_e12:
        return outcome
    text = f"{text_of(outcome.found.price_e12)} USD does not fit {text_of(rate.price_e12)} XDR"
    return _bad(RoundEvent.OUT_OF_BAND, f"{text}, the network's own rate")


def _pegged(seen: Seen, coin: Coin, real: Outcome, icp: Standing) -> Outcome:
    """Take a ck token for what it stands for, only while its own pool says the same."""
    if real.found is None:
        return real
    pool = seen.one(PriceSource.ICPSWAP, Pair(coin, Coin.ICP))
    if pool is None:
        return _bad(RoundEvent.TOO_FEW, f"no fresh pool price of {coin.value} to compare with")
    if pool.depth_usd_minor < seen.pool_floor_usd_minor:
        return _bad(RoundEvent.TOO_FEW, f"the pool of {coin.value} is too small to compare with")
    if icp.state is not PriceState.OK or icp.accepted is None:
        return _without_icp(icp)
    own_e12 = times(pool.price_e12, icp.accepted.price_e12)
    off_ppm = apart_ppm(own_e12, real.found.price_e12)
    if off_ppm > MAX_OFF_PEG_PPM:
        return _bad(RoundEvent.OFF_PEG, f"its pool says {_percent(off_ppm)} off what it stands for")
    used = (*real.found.observations, pool.id)
    return good(Accepted(real.found.price_e12, seen.now_ms, real.found.spread_ppm, used))


def _without_icp(icp: Standing) -> Outcome:
    """Hold what is quoted in ICP while ICP's own price is held, and stop it when that stops."""
    held = icp.state is PriceState.DEGRADED
    event = RoundEvent.WIDE if held else RoundEvent.TOO_FEW
    return _bad(event, f"ICP, which the pool quotes in, is {icp.state.value}")


def _thin(seen: Seen, icp: Standing) -> Outcome:
    """Price a token that one thin pool trades: the median of an hour, moving no faster than it may."""
    pair = Pair(Coin.DCT, Coin.ICP)
    if seen.one(PriceSource.ICPSWAP, pair) is None:
        return _bad(RoundEvent.TOO_FEW, "the pool has not answered lately")
    counted = [one for one in seen.samples if _counts(one, seen)]
    if len(counted) < SAMPLES_NEEDED:
        return _bad(
            RoundEvent.TOO_FEW,
            f"{len(counted)} of {SAMPLES_NEEDED} usable samples in the last hour"
            f" (both ways within {_percent(MAX_TWO_WAYS_PPM)}, pool above the floor)",
        )
    if icp.state is not PriceState.OK or icp.accepted is None:
        return _without_icp(icp)
    price_e12 = times(median([one.price_e12 for one in counted]), icp.accepted.price_e12)
    used = (*(one.id for one in counted), *icp.accepted.observations)
    prices = [one.price_e12 for one in counted]
    spread_ppm = apart_ppm(max(prices), min(prices))
    return _moved(seen, Accepted(price_e12, seen.now_ms, spread_ppm, used))


def _counts(sample: Observation, seen: Seen) -> bool:
    return (
        sample.source is PriceSource.ICPSWAP
        and sample.pair == Pair(Coin.DCT, Coin.ICP)
        and 0 <= seen.now_ms - sample.observed_at_ms < WINDOW_MS
        and sample.spread_ppm < MAX_TWO_WAYS_PPM
        and sample.depth_usd_minor >= seen.pool_floor_usd_minor
    )


def _moved(seen: Seen, found: Accepted) -> Outcome:
    """Let a thin market move 10 % for each hour since the price it is compared with, and no further."""
    if seen.before is None:
        return good(found)
    hours = max(1, (seen.now_ms - seen.before.at_ms) // HOUR_MS)
    room_e12 = seen.before.price_e12 * MAX_MOVE_PPM_PER_HOUR * hours // PPM
    low_e12, high_e12 = seen.before.price_e12 - room_e12, seen.before.price_e12 + room_e12
    if low_e12 <= found.price_e12 <= high_e12:
        return good(found)
    held_e12 = min(max(found.price_e12, low_e12), high_e12)
    held = Accepted(held_e12, found.at_ms, found.spread_ppm, found.observations)
    reason = f"moves faster than {_percent(MAX_MOVE_PPM_PER_HOUR)} an hour"
    return Outcome(RoundEvent.CAPPED, held, reason)


def _bad(event: RoundEvent, reason: str) -> Outcome:
    return Outcome(event, None, reason)


def _percent(ppm: int) -> str:
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest // 100:02d} %" if rest else f"{whole} %"

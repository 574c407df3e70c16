"""One look at one source: what it said a coin costs, when it says that was, and when we heard it."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.pricing.numbers import PPM, median
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.prices import Coin, PriceSource

_EXCHANGE_MS = 120 * SECOND_MS
STALE_AFTER_MS = {
    PriceSource.COINBASE: _EXCHANGE_MS,
    PriceSource.KRAKEN: _EXCHANGE_MS,
    PriceSource.BINANCE: _EXCHANGE_MS,
    PriceSource.KUCOIN: _EXCHANGE_MS,
    PriceSource.OKX: _EXCHANGE_MS,
    PriceSource.COINGECKO: 300 * SECOND_MS,
    PriceSource.ICPSWAP: 180 * SECOND_MS,
    PriceSource.CMC: 3_600
    * SECOND_MS,  # the network refreshes it every few minutes; it is only a band
}
AHEAD_MS = 60 * SECOND_MS  # a source's clock may run this far ahead of ours


@dataclass(frozen=True, slots=True)
class Pair:
    """The price of one `base` in `quote`."""

    base: Coin
    quote: Coin

    def __str__(self) -> str:
        return f"{self.base.value}/{self.quote.value}"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one source said. `spread_ppm` lies between buying and selling there, `depth_usd_minor` is what could be
    sold into it (both only known of pools, else 0).
    """

    id: str
    source: PriceSource
    base: Coin
    quote: Coin
    price_e12: int
    observed_at_ms: int
    received_at_ms: int
    spread_ppm: int = 0
    depth_usd_minor: int = 0

    @property
    def pair(self) -> Pair:
        """What it is the price of."""
        return Pair(self.base, self.quote)

    def fresh(self, now_ms: int) -> bool:
        """Tell whether it still counts: not older than its source's limit, not from the future."""
        age_ms = now_ms - self.observed_at_ms
        return -AHEAD_MS <= age_ms <= STALE_AFTER_MS[self.source]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """How the newest look at one pair of one source ended; `reason` is empty when it gave a price."""

    source: PriceSource
    base: Coin
    quote: Coin
    at_ms: int
    reason: str


def two_ways(buying_e12: int, selling_e12: int) -> tuple[int, int]:
    """Return middle and distance (ppm of the middle) of what a pool asks and what it gives."""
    middle = median((buying_e12, selling_e12))
    return middle, -(-abs(buying_e12 - selling_e12) * PPM // middle) if middle else 0

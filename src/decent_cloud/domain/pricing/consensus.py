"""What independent ways to one price agree on: outliers out, enough of them left, the median of the rest."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.pricing.numbers import PPM, apart_ppm, median
from decent_cloud.domain.pricing.observation import Observation
from decent_cloud.kernel.prices import PriceSource

MAX_OFF_MEDIAN_PPM = 50_000
MAX_SPREAD_PPM = 20_000
EXCHANGES_ENOUGH = 3  # from here on an aggregate of exchanges has nothing to add


@dataclass(frozen=True, slots=True)
class Path:
    """One way to a price: a source's own observation, times what its quote coin is worth."""

    source: PriceSource
    price_e12: int
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the paths agree on; `wide` when they lie too far apart to quote by."""

    price_e12: int
    spread_ppm: int
    paths: tuple[Path, ...]

    @property
    def wide(self) -> bool:
        """Whether the paths lie further apart than a new quote may rest on."""
        return self.spread_ppm > MAX_SPREAD_PPM


@dataclass(frozen=True, slots=True)
class NoPrice:
    """Why there is no price."""

    reason: str


def agree(paths: tuple[Path, ...], at_least: int) -> Agreed | NoPrice:
    """Combine fresh paths, one a source; an aggregate counts only while exchanges are few.

    The result never lies outside the paths it names. Errors are values: NoPrice says what was missing.
    """
    exchanges = tuple(path for path in paths if path.source is not PriceSource.COINGECKO)
    counted = exchanges if len(exchanges) >= EXCHANGES_ENOUGH else paths
    if len(counted) < at_least:
        return NoPrice(
            f"{len(counted)} of {at_least} independent sources are fresh{_named(counted)}"
        )
    middle = median([path.price_e12 for path in counted])
    near = tuple(p for p in counted if apart_ppm(p.price_e12, middle) <= MAX_OFF_MEDIAN_PPM)
    if len(near) < at_least:
        return NoPrice(
            f"{len(near)} of {at_least} independent sources are within"
            f" {MAX_OFF_MEDIAN_PPM * 100 // PPM} % of each other{_named(near)}"
        )
    prices = [path.price_e12 for path in near]
    agreed_e12 = median(prices)
    spread_ppm = -(-(max(prices) - min(prices)) * PPM // agreed_e12)
    return Agreed(agreed_e12, spread_ppm, near)


def _named(paths: tuple[Path, ...]) -> str:
    names = ", ".join(path.source.value for path in paths)
    return f" ({names})" if names else ""

"""Where observations, prices and quotes are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from decent_cloud.domain.pricing.breaker import Standing
from decent_cloud.domain.pricing.observation import Observation, Pair, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Quote
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import PriceState


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A price that a round accepted."""

    asset: Asset
    at_ms: int
    price_e12: int
    spread_ppm: int
    state: PriceState


@dataclass(frozen=True, slots=True)
class Candle:
    """What accepted prices did in the step that begins at `at_ms`."""

    asset: Asset
    step_ms: int
    at_ms: int
    open_e12: int
    high_e12: int
    low_e12: int
    close_e12: int


class Prices(Protocol):
    """Everything about token prices."""

    def add_observation(self, observation: Observation) -> None:
        """Store an observation; one whose id is known is left as it is."""
        ...

    def newest(self, since_ms: int) -> tuple[Observation, ...]:
        """Return the newest observation of each source and pair received at or after `since_ms`."""
        ...

    def observations_of(self, pair: Pair, since_ms: int) -> tuple[Observation, ...]:
        """Return all observations of a pair observed at or after `since_ms`, oldest first."""
        ...

    def observations(self, ids: tuple[str, ...]) -> tuple[Observation, ...]:
        """Return observations by id, in the order asked for; dropped ones are left out."""
        ...

    def report(self, report: SourceReport) -> None:
        """Store how the newest look at a source's pair ended; an older one never replaces a newer."""
        ...

    def reports(self) -> tuple[SourceReport, ...]:
        """Return the newest report of each source and pair, by source and pair."""
        ...

    def standing(self, asset: Asset) -> Standing | None:
        """Return where an asset's price stands, None if nobody has looked yet."""
        ...

    def standings(self) -> Mapping[Asset, Standing]:
        """Return where all prices stand."""
        ...

    def save_standing(self, standing: Standing) -> None:
        """Store it; version 1 is inserted if there is none, else its version must be unchanged."""
        ...

    def add_point(self, point: PricePoint) -> None:
        """Store an accepted price; one of the same asset and instant is left as it is."""
        ...

    def points(self, asset: Asset, before_ms: int, limit: int) -> tuple[PricePoint, ...]:
        """Return accepted prices before an instant, newest first."""
        ...

    def point_before(self, asset: Asset, at_ms: int) -> PricePoint | None:
        """Return the newest accepted price at or before an instant, else the oldest after it."""
        ...

    def candle(self, asset: Asset, step_ms: int, at_ms: int) -> Candle | None:
        """Return the candle that begins at `at_ms`."""
        ...

    def put_candle(self, candle: Candle) -> None:
        """Insert or replace a candle."""
        ...

    def candles(self, asset: Asset, step_ms: int, since_ms: int, limit: int) -> tuple[Candle, ...]:
        """Return candles that begin at or after an instant, oldest first."""
        ...

    def operator_price(self, asset: Asset) -> OperatorPrice | None:
        """Return the operator's newest word on an asset."""
        ...

    def add_operator_price(self, price: OperatorPrice) -> None:
        """Store one; AlreadyExists if the asset has one of this number."""
        ...

    def save_operator_price(self, price: OperatorPrice) -> None:
        """Replace it if its version is unchanged."""
        ...

    def add_quote(self, quote: Quote) -> None:
        """Store a quote; AlreadyExists if the id is taken."""
        ...

    def quote(self, quote: str) -> Quote | None:
        """Return a quote."""
        ...

    def save_quote(self, quote: Quote) -> None:
        """Replace it if its version is unchanged."""
        ...

    def open_quotes(self, account: AccountId, now_ms: int) -> int:
        """Count an account's quotes that are neither used nor over."""
        ...

    def spent_usd_minor(self, asset: Asset, since_ms: int) -> int:
        """Add up the dollars of a token's quotes that were used at or after an instant."""
        ...

    def drop(self, observed_before_ms: int, points_before_ms: int, quotes_before_ms: int) -> int:
        """Remove observations and points of before, and quotes that were over before and never used."""
        ...

    def drop_candles(self, step_ms: int, before_ms: int) -> int:
        """Remove candles of a step that began before."""
        ...

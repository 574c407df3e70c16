"""Observations, prices and quotes in dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.adapters.memory.tables import Journal, Table
from decent_cloud.app.ports.prices import Candle, PricePoint
from decent_cloud.domain.pricing.breaker import Standing
from decent_cloud.domain.pricing.observation import Observation, Pair, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Quote
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.money import Asset


class MemoryPrices:
    """Keeps the port `Prices`."""

    def __init__(self, journal: Journal) -> None:
        self._observations: Table[Observation] = Table(journal)
        self._reports: Table[SourceReport] = Table(journal)
        self._standings: Table[Standing] = Table(journal)
        self._points: Table[PricePoint] = Table(journal)
        self._candles: Table[Candle] = Table(journal)
        self._by_hand: Table[OperatorPrice] = Table(journal)
        self._quotes: Table[Quote] = Table(journal)

    def add_observation(self, observation: Observation) -> None:
        if self._observations.get(observation.id) is None:
            self._observations.add(observation, observation.id)

    def newest(self, since_ms: int) -> tuple[Observation, ...]:
        rows = [row for row in self._observations if row.received_at_ms >= since_ms]
        rows.sort(key=lambda row: (row.received_at_ms, row.id))
        last = {(row.source, row.base, row.quote): row for row in rows}
        return tuple(last[key] for key in sorted(last))

    def observations_of(self, pair: Pair, since_ms: int) -> tuple[Observation, ...]:
        rows = [o for o in self._observations if o.pair == pair and o.observed_at_ms >= since_ms]
        return tuple(sorted(rows, key=lambda row: (row.observed_at_ms, row.id)))

    def observations(self, ids: tuple[str, ...]) -> tuple[Observation, ...]:
        found = (self._observations.get(one) for one in ids)
        return tuple(row for row in found if row is not None)

    def report(self, report: SourceReport) -> None:
        key = (report.source, report.base, report.quote)
        known = self._reports.get(*key)
        if known is None or known.at_ms <= report.at_ms:
            self._reports.put(report, *key)

    def reports(self) -> tuple[SourceReport, ...]:
        return tuple(sorted(self._reports, key=lambda row: (row.source, row.base, row.quote)))

    def standing(self, asset: Asset) -> Standing | None:
        return self._standings.get(asset)

    def standings(self) -> Mapping[Asset, Standing]:
        return {row.asset: row for row in sorted(self._standings, key=lambda row: row.asset)}

    def save_standing(self, standing: Standing) -> None:
        self._standings.save_or_add(standing, standing.asset)

    def add_point(self, point: PricePoint) -> None:
        if self._points.get(point.asset, point.at_ms) is None:
            self._points.add(point, point.asset, point.at_ms)

    def points(self, asset: Asset, before_ms: int, limit: int) -> tuple[PricePoint, ...]:
        rows = [row for row in self._of(asset) if row.at_ms < before_ms]
        return tuple(reversed(rows))[:limit]

    def point_before(self, asset: Asset, at_ms: int) -> PricePoint | None:
        rows = self._of(asset)
        before = [row for row in rows if row.at_ms <= at_ms]
        return before[-1] if before else next(iter(rows), None)

    def candle(self, asset: Asset, step_ms: int, at_ms: int) -> Candle | None:
        return self._candles.get(asset, step_ms, at_ms)

    def put_candle(self, candle: Candle) -> None:
        self._candles.put(candle, candle.asset, candle.step_ms, candle.at_ms)

    def candles(self, asset: Asset, step_ms: int, since_ms: int, limit: int) -> tuple[Candle, ...]:
        rows = [
            row
            for row in self._candles
            if (row.asset, row.step_ms) == (asset, step_ms) and row.at_ms >= since_ms
        ]
        return tuple(sorted(rows, key=lambda row: row.at_ms)[:limit])

    def operator_price(self, asset: Asset) -> OperatorPrice | None:
        rows = (row for row in self._by_hand if row.asset is asset)
        return max(rows, key=lambda row: row.number, default=None)

    def add_operator_price(self, price: OperatorPrice) -> None:
        self._by_hand.add(price, price.asset, price.number)

    def save_operator_price(self, price: OperatorPrice) -> None:
        self._by_hand.save(price, price.asset, price.number)

    def add_quote(self, quote: Quote) -> None:
        self._quotes.add(quote, quote.id)

    def quote(self, quote: str) -> Quote | None:
        return self._quotes.get(quote)

    def save_quote(self, quote: Quote) -> None:
        self._quotes.save(quote, quote.id)

    def open_quotes(self, account: AccountId, now_ms: int) -> int:
        mine = (row for row in self._quotes if row.account == account and not row.used_at_ms)
        return sum(row.expires_at_ms > now_ms for row in mine)

    def spent_usd_minor(self, asset: Asset, since_ms: int) -> int:
        spent = (row for row in self._quotes if row.asset is asset and row.used_at_ms)
        return sum(row.dollars_minor for row in spent if row.used_at_ms >= since_ms)

    def drop(self, observed_before_ms: int, points_before_ms: int, quotes_before_ms: int) -> int:
        return (
            self._observations.remove_where(lambda row: row.received_at_ms < observed_before_ms)
            + self._points.remove_where(lambda row: row.at_ms < points_before_ms)
            + self._quotes.remove_where(
                lambda row: not row.used_at_ms and row.expires_at_ms < quotes_before_ms
            )
        )

    def drop_candles(self, step_ms: int, before_ms: int) -> int:
        return self._candles.remove_where(
            lambda row: row.step_ms == step_ms and row.at_ms < before_ms
        )

    def _of(self, asset: Asset) -> list[PricePoint]:
        rows = (row for row in self._points if row.asset is asset)
        return sorted(rows, key=lambda row: row.at_ms)

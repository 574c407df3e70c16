"""Observations, prices and quotes in SQL."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session, among
from decent_cloud.app.ports.prices import Candle, PricePoint
from decent_cloud.domain.pricing.breaker import Standing
from decent_cloud.domain.pricing.observation import Observation, Pair, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Quote
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.money import Asset

_OBSERVATIONS = Rows(Observation, "price_observations", ("id",))
_REPORTS = Rows(SourceReport, "price_sources", ("source", "base", "quote"))
_STANDINGS = Rows(Standing, "price_standings", ("asset",))
_POINTS = Rows(PricePoint, "price_points", ("asset", "at_ms"))
_CANDLES = Rows(Candle, "price_candles", ("asset", "step_ms", "at_ms"))
_BY_HAND = Rows(OperatorPrice, "operator_prices", ("asset", "number"))
_QUOTES = Rows(Quote, "price_quotes", ("id",))
_AT_ONCE = 200  # ids in one statement; each engine has a limit on parameters


class SqlPrices:
    """Keeps the port `Prices`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add_observation(self, observation: Observation) -> None:
        _OBSERVATIONS.add_unless_there(self._session, observation)

    def newest(self, since_ms: int) -> tuple[Observation, ...]:
        tail = "WHERE received_at_ms >= :since ORDER BY received_at_ms, id"
        rows = _OBSERVATIONS.all(self._session, tail, {"since": since_ms})
        last = {(row.source, row.base, row.quote): row for row in rows}
        return tuple(last[key] for key in sorted(last))

    def observations_of(self, pair: Pair, since_ms: int) -> tuple[Observation, ...]:
        tail = (
            "WHERE base = :base AND quote = :quote AND observed_at_ms >= :since"
            " ORDER BY observed_at_ms, id"
        )
        params = {"base": pair.base.value, "quote": pair.quote.value, "since": since_ms}
        return _OBSERVATIONS.all(self._session, tail, params)

    def observations(self, ids: tuple[str, ...]) -> tuple[Observation, ...]:
        found: dict[str, Observation] = {}
        for start in range(0, len(ids), _AT_ONCE):
            where, params = among("id", ids[start : start + _AT_ONCE])
            for row in _OBSERVATIONS.all(self._session, f"WHERE {where}", params):
                found[row.id] = row
        return tuple(found[one] for one in ids if one in found)

    def report(self, report: SourceReport) -> None:
        where = "WHERE source = :source AND base = :base AND quote = :quote"
        key = {
            "source": report.source.value,
            "base": report.base.value,
            "quote": report.quote.value,
        }
        known = _REPORTS.one(self._session, where + self._session.lock(always=True), key)
        if known is None or known.at_ms <= report.at_ms:
            _REPORTS.put(self._session, report)

    def reports(self) -> tuple[SourceReport, ...]:
        return _REPORTS.all(self._session, "ORDER BY source, base, quote", {})

    def standing(self, asset: Asset) -> Standing | None:
        return _STANDINGS.get(self._session, asset=asset.value)

    def standings(self) -> Mapping[Asset, Standing]:
        rows = _STANDINGS.all(self._session, "ORDER BY asset" + self._session.lock(), {})
        return {row.asset: row for row in rows}

    def save_standing(self, standing: Standing) -> None:
        _STANDINGS.save_or_add(self._session, standing)

    def add_point(self, point: PricePoint) -> None:
        _POINTS.add_unless_there(self._session, point)

    def points(self, asset: Asset, before_ms: int, limit: int) -> tuple[PricePoint, ...]:
        tail = "WHERE asset = :asset AND at_ms < :before ORDER BY at_ms DESC LIMIT :limit"
        params = {"asset": asset.value, "before": before_ms, "limit": limit}
        return _POINTS.all(self._session, tail, params)

    def point_before(self, asset: Asset, at_ms: int) -> PricePoint | None:
        params = {"asset": asset.value, "at": at_ms}
        before = "WHERE asset = :asset AND at_ms <= :at ORDER BY at_ms DESC LIMIT 1"
        after = "WHERE asset = :asset AND at_ms > :at ORDER BY at_ms LIMIT 1"
        found = _POINTS.one(self._session, before, params)
        return found or _POINTS.one(self._session, after, params)

    def candle(self, asset: Asset, step_ms: int, at_ms: int) -> Candle | None:
        return _CANDLES.get_locked(self._session, asset=asset.value, step_ms=step_ms, at_ms=at_ms)

    def put_candle(self, candle: Candle) -> None:
        _CANDLES.put(self._session, candle)

    def candles(self, asset: Asset, step_ms: int, since_ms: int, limit: int) -> tuple[Candle, ...]:
        tail = (
            "WHERE asset = :asset AND step_ms = :step AND at_ms >= :since"
            " ORDER BY at_ms LIMIT :limit"
        )
        params = {"asset": asset.value, "step": step_ms, "since": since_ms, "limit": limit}
        return _CANDLES.all(self._session, tail, params)

    def operator_price(self, asset: Asset) -> OperatorPrice | None:
        tail = "WHERE asset = :asset ORDER BY number DESC LIMIT 1"
        return _BY_HAND.one(self._session, tail, {"asset": asset.value})

    def add_operator_price(self, price: OperatorPrice) -> None:
        _BY_HAND.add(self._session, price)

    def save_operator_price(self, price: OperatorPrice) -> None:
        _BY_HAND.save(self._session, price)

    def add_quote(self, quote: Quote) -> None:
        _QUOTES.add(self._session, quote)

    def quote(self, quote: str) -> Quote | None:
        return _QUOTES.get(self._session, id=quote)

    def save_quote(self, quote: Quote) -> None:
        _QUOTES.save(self._session, quote)

    def open_quotes(self, account: AccountId, now_ms: int) -> int:
        return self._session.number(
            "SELECT count(*) FROM price_quotes"
            " WHERE account = :account AND expires_at_ms > :now AND used_at_ms = 0",
            {"account": account, "now": now_ms},
        )

    def spent_usd_minor(self, asset: Asset, since_ms: int) -> int:
        return self._session.number(
            "SELECT sum(dollars_minor) FROM price_quotes"
            " WHERE asset = :asset AND used_at_ms >= :since AND used_at_ms > 0",
            {"asset": asset.value, "since": since_ms},
        )

    def drop(self, observed_before_ms: int, points_before_ms: int, quotes_before_ms: int) -> int:
        run = self._session.run
        return (
            run(
                "DELETE FROM price_observations WHERE received_at_ms < :at",
                {"at": observed_before_ms},
            )
            + run("DELETE FROM price_points WHERE at_ms < :at", {"at": points_before_ms})
            + run(
                "DELETE FROM price_quotes WHERE used_at_ms = 0 AND expires_at_ms < :at",
                {"at": quotes_before_ms},
            )
        )

    def drop_candles(self, step_ms: int, before_ms: int) -> int:
        return self._session.run(
            "DELETE FROM price_candles WHERE step_ms = :step AND at_ms < :at",
            {"step": step_ms, "at": before_ms},
        )

"""Observations, prices, charts and quotes, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.app.ports.prices import Candle, PricePoint
from decent_cloud.domain.pricing.breaker import Accepted, Standing, unheard
from decent_cloud.domain.pricing.numbers import E12, MAX_E12
from decent_cloud.domain.pricing.observation import Observation, Pair, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Quote
from decent_cloud.kernel.errors import AlreadyExists, StaleVersion
from decent_cloud.kernel.ids import AccountId, Kid
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceOrigin, PriceSource
from decent_cloud.kernel.status import PriceState
from tests.contracts.conftest import Held
from tests.contracts.samples import each

ME, YOU = AccountId("a" * 64), AccountId("b" * 64)


def observed(
    source: PriceSource = PriceSource.KRAKEN, at_ms: int = 100, base: Coin = Coin.ICP
) -> Observation:
    id_ = f"{source.value}:{base.value}:{at_ms}"
    return Observation(id_, source, base, Coin.USD, MAX_E12, at_ms - 5, at_ms, 12, 2**53 - 1)


def point(at_ms: int, asset: Asset = Asset.ICP) -> PricePoint:
    return PricePoint(asset, at_ms, at_ms * E12, 7, PriceState.OK)


def candle(at_ms: int, step_ms: int = 60, asset: Asset = Asset.ICP) -> Candle:
    return Candle(asset, step_ms, at_ms, 2, 3, 1, 2)


def quote(id_: str = "q1", account: AccountId = ME, *, used_at_ms: int = 0) -> Quote:
    return Quote(
        id_, account, Asset.DCT, 5, 700, E12, PriceOrigin.MARKET, (observed(), observed(at_ms=200)), 100, 900,
        "c1.1" if used_at_ms else "", used_at_ms,
    )  # fmt: skip


def by_hand(number: int = 1) -> OperatorPrice:
    return OperatorPrice(Asset.DCT, number, E12, 900, 100, ME, Kid("k"), "{}")


def add(held: Held, *rows: Observation) -> None:
    held.write(lambda uow: each(uow.prices.add_observation, rows))


def test_an_observation_is_stored_once_and_comes_back_whole(held: Held) -> None:
    add(held, observed(), replace(observed(), price_e12=1))
    assert held.read(lambda uow: uow.prices.observations((observed().id, "none"))) == (observed(),)


def test_the_newest_of_each_source_and_pair_counts(held: Held) -> None:
    rows = (
        observed(at_ms=100),
        observed(at_ms=300),
        observed(at_ms=200),
        observed(PriceSource.COINBASE, 50),
        observed(PriceSource.COINBASE, 150, Coin.BTC),
    )
    add(held, *rows)
    assert held.read(lambda uow: uow.prices.newest(100)) == (rows[4], rows[1])
    assert held.read(lambda uow: uow.prices.newest(301)) == ()


def test_a_pairs_observations_come_in_the_order_of_their_own_time(held: Held) -> None:
    rows = (observed(at_ms=300), observed(PriceSource.OKX, 100), observed(at_ms=200, base=Coin.BTC))
    add(held, *rows)
    pair = Pair(Coin.ICP, Coin.USD)
    assert held.read(lambda uow: uow.prices.observations_of(pair, 95)) == (rows[1], rows[0])
    assert held.read(lambda uow: uow.prices.observations_of(pair, 96)) == (rows[0],)


def test_many_observations_are_found_by_id_in_the_order_asked_for(held: Held) -> None:
    rows = tuple(observed(at_ms=at_ms) for at_ms in range(100, 700))
    add(held, *rows)
    ids = tuple(row.id for row in reversed(rows))
    assert held.read(lambda uow: uow.prices.observations(ids)) == tuple(reversed(rows))
    assert held.read(lambda uow: uow.prices.observations(())) == ()


def test_a_report_is_replaced_by_a_newer_one_only(held: Held) -> None:
    def report(at_ms: int, reason: str, base: Coin = Coin.ICP) -> SourceReport:
        return SourceReport(PriceSource.OKX, base, Coin.USDT, at_ms, reason)

    rows = (report(2, "new"), report(1, "old"), report(1, "", Coin.BTC))
    held.write(lambda uow: each(uow.prices.report, rows))
    assert held.read(lambda uow: uow.prices.reports()) == (rows[2], rows[0])
    held.write(lambda uow: uow.prices.report(report(2, "same")))
    assert held.read(lambda uow: uow.prices.reports())[1].reason == "same"


def test_a_standing_comes_back_whole_and_is_replaced_by_version(held: Held) -> None:
    first = unheard(Asset.ICP, 5)
    held.write(lambda uow: uow.prices.save_standing(first))
    assert held.read(lambda uow: uow.prices.standing(Asset.ICP)) == first
    assert held.read(lambda uow: uow.prices.standing(Asset.DCT)) is None
    price = Accepted(MAX_E12, 6, 7, ("a", "b"))
    after = Standing(Asset.ICP, PriceState.OK, price, price, 2, "why", 6, 6)
    held.write(lambda uow: uow.prices.save_standing(after))
    assert held.read(lambda uow: uow.prices.standings()) == {Asset.ICP: replace(after, version=2)}
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.prices.save_standing(after))


def test_history_is_paged_by_time_and_looked_up_by_it(held: Held) -> None:
    rows = tuple(point(at_ms) for at_ms in (30, 10, 20))
    other = (point(15, Asset.DCT), replace(point(10), price_e12=1))
    held.write(lambda uow: each(uow.prices.add_point, (*rows, *other)))
    thirty, ten, twenty = rows
    assert held.read(lambda uow: uow.prices.points(Asset.ICP, 31, 2)) == (thirty, twenty)
    assert held.read(lambda uow: uow.prices.points(Asset.ICP, 20, 2)) == (ten,)
    assert held.read(lambda uow: uow.prices.point_before(Asset.ICP, 20)) == twenty
    assert held.read(lambda uow: uow.prices.point_before(Asset.ICP, 19)) == ten
    assert held.read(lambda uow: uow.prices.point_before(Asset.ICP, 9)) == ten
    assert held.read(lambda uow: uow.prices.point_before(Asset.CKBTC, 9)) is None


def test_candles_are_replaced_and_cut(held: Held) -> None:
    rows = (candle(60), candle(0), candle(60, 3_600), candle(60, asset=Asset.DCT))
    held.write(lambda uow: each(uow.prices.put_candle, rows))
    held.write(lambda uow: uow.prices.put_candle(replace(rows[0], high_e12=9)))
    assert held.read(lambda uow: uow.prices.candle(Asset.ICP, 60, 60)) == replace(
        rows[0], high_e12=9
    )
    assert held.read(lambda uow: uow.prices.candle(Asset.ICP, 60, 61)) is None
    found = held.read(lambda uow: uow.prices.candles(Asset.ICP, 60, 0, 10))
    assert [row.at_ms for row in found] == [0, 60]
    assert len(held.read(lambda uow: uow.prices.candles(Asset.ICP, 60, 0, 1))) == 1
    assert held.write(lambda uow: uow.prices.drop_candles(60, 60)) == 1
    assert held.read(lambda uow: uow.prices.candles(Asset.ICP, 60, 1, 10)) == (
        replace(rows[0], high_e12=9),
    )


def test_an_operators_newest_word_counts(held: Held) -> None:
    held.write(lambda uow: each(uow.prices.add_operator_price, (by_hand(2), by_hand(1))))
    assert held.read(lambda uow: uow.prices.operator_price(Asset.DCT)) == by_hand(2)
    assert held.read(lambda uow: uow.prices.operator_price(Asset.ICP)) is None
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.prices.add_operator_price(by_hand(2)))
    withdrawn = replace(by_hand(2), withdrawn_at_ms=5)
    held.write(lambda uow: uow.prices.save_operator_price(withdrawn))
    assert held.read(lambda uow: uow.prices.operator_price(Asset.DCT)) == replace(
        withdrawn, version=2
    )
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.prices.save_operator_price(withdrawn))


def test_a_quote_keeps_its_observations_and_is_replaced_by_version(held: Held) -> None:
    held.write(lambda uow: uow.prices.add_quote(quote()))
    assert held.read(lambda uow: uow.prices.quote("q1")) == quote()
    assert held.read(lambda uow: uow.prices.quote("q2")) is None
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.prices.add_quote(quote()))
    used = quote(used_at_ms=150)
    held.write(lambda uow: uow.prices.save_quote(used))
    assert held.read(lambda uow: uow.prices.quote("q1")) == replace(used, version=2)
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.prices.save_quote(used))


def test_open_quotes_are_counted_and_spent_dollars_added_up(held: Held) -> None:
    rows = (quote("q1"), quote("q2", used_at_ms=150), quote("q3", YOU), quote("q4", used_at_ms=50))
    held.write(lambda uow: each(uow.prices.add_quote, rows))
    assert held.read(lambda uow: uow.prices.open_quotes(ME, 899)) == 1
    assert held.read(lambda uow: uow.prices.open_quotes(ME, 900)) == 0
    assert held.read(lambda uow: uow.prices.spent_usd_minor(Asset.DCT, 51)) == 700
    assert held.read(lambda uow: uow.prices.spent_usd_minor(Asset.DCT, 0)) == 1_400
    assert held.read(lambda uow: uow.prices.spent_usd_minor(Asset.ICP, 0)) == 0


def test_what_is_old_goes_and_used_quotes_stay(held: Held) -> None:
    add(held, observed(at_ms=99), observed(at_ms=100))
    held.write(lambda uow: each(uow.prices.add_point, (point(9), point(10))))
    quotes = (quote("q1"), quote("q2", used_at_ms=150))
    held.write(lambda uow: each(uow.prices.add_quote, quotes))
    assert held.write(lambda uow: uow.prices.drop(100, 10, 900)) == 2
    assert held.write(lambda uow: uow.prices.drop(100, 10, 901)) == 1
    assert held.read(lambda uow: uow.prices.newest(0)) == (observed(at_ms=100),)
    assert held.read(lambda uow: uow.prices.points(Asset.ICP, 99, 9)) == (point(10),)
    assert held.read(lambda uow: uow.prices.quote("q1")) is None
    assert held.read(lambda uow: uow.prices.quote("q2")) == quotes[1]


@pytest.mark.parametrize(
    "rows", [(replace(observed(), price_e12=0),), (replace(observed(), price_e12=-1),)]
)
def test_the_database_itself_refuses_what_is_no_price(
    sql: Held, rows: tuple[Observation, ...]
) -> None:
    with pytest.raises(Exception, match=r"ck_price_observations_positive|not valid|refused"):
        sql.write(lambda uow: each(uow.prices.add_observation, rows))
    assert sql.read(lambda uow: uow.prices.newest(0)) == ()

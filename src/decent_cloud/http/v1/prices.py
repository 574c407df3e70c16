"""Prices of tokens, their history, quotes, and prices set by hand."""

from __future__ import annotations

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from decent_cloud.app import operator_prices, prices, quotes
from decent_cloud.app.ports.prices import Candle
from decent_cloud.app.prices import AssetPrice, PriceBoard
from decent_cloud.app.statements import from_wire, to_wire
from decent_cloud.domain.pricing.numbers import text_of
from decent_cloud.domain.pricing.observation import Observation, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import DOLLAR, Quote
from decent_cloud.http.call import Call
from decent_cloud.http.v1.pages import Cursor, Limit
from decent_cloud.kernel.clock import SECOND_MS, rfc3339
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.paging import DEFAULT_LIMIT
from decent_cloud.kernel.prices import ChartRange
from decent_cloud.wire.v1.money import Amount
from decent_cloud.wire.v1.prices import (
    AskQuote,
    ObservationView,
    OperatorPriceView,
    PriceChart,
    PriceHistoryPage,
    PricePointView,
    PricesView,
    PriceView,
    QuoteView,
    SetOperatorPrice,
    SourceView,
)


@get("/prices", summary="Prices of tokens")
async def read_prices(call: NamedDependency[Call]) -> PricesView:
    """Return every token's price in dollars with its sources, or why there is none."""
    return board_view(await call.read(lambda uow: prices.board(uow, call.now_ms)), call.now_ms)


@get("/prices/{asset:str}", summary="One token's price")
async def read_price(call: NamedDependency[Call], asset: FromPath[str]) -> PriceView:
    """Return one token's price in dollars with its observations, or why there is none."""
    token = prices.token_named(asset)
    found = await call.read(lambda uow: prices.price_of(uow, token, call.now_ms))
    return price_view(found, call.now_ms)


@get("/prices/{asset:str}/history", summary="A token's accepted prices")
async def read_price_history(
    call: NamedDependency[Call],
    asset: FromPath[str],
    cursor: Cursor = "",
    limit: Limit = DEFAULT_LIMIT,
) -> PriceHistoryPage:
    """Return accepted prices, newest first; minute by minute for 90 days."""
    token = prices.token_named(asset)
    before_ms = _before_ms(cursor, call.now_ms)
    items, next_ms = await call.read(lambda uow: prices.history(uow, token, before_ms, limit))
    return PriceHistoryPage(
        asset=token,
        items=tuple(
            PricePointView(
                at=rfc3339(one.at_ms),
                usd=text_of(one.price_e12),
                spread_ppm=one.spread_ppm,
                state=one.state,
            )
            for one in items
        ),
        next="" if next_ms is None else str(next_ms),
    )


@get("/prices/{asset:str}/chart", summary="A token's chart")
async def read_price_chart(
    call: NamedDependency[Call],
    asset: FromPath[str],
    range: FromQuery[ChartRange] = ChartRange.DAY,
) -> PriceChart:
    """Return a chart of a `range` (day, week, month, year); times without a price are left out."""
    token = prices.token_named(asset)
    step_ms, found = await call.read(lambda uow: prices.chart(uow, token, range, call.now_ms))
    return chart_view(token, range, step_ms, found)


@post("/quotes", status_code=201, summary="Lock a price for ten minutes")
async def make_quote(call: NamedDependency[Call], data: JSONBody[AskQuote]) -> Response[QuoteView]:
    """Return what an amount of dollars costs in a token, locked for ten minutes."""
    id_ = call.new_id("q")
    return await call.write(
        lambda uow: quote_view(
            quotes.make_quote(uow, call.caller, data.asset, int(data.usd_minor), call.now_ms, id_)
        ),
        status=201,
    )


@get("/quotes/{quote:str}", summary="A quote")
async def read_quote(call: NamedDependency[Call], quote: FromPath[str]) -> QuoteView:
    """Return one of the caller's quotes."""
    return quote_view(await call.read(lambda uow: quotes.read_quote(uow, call.caller, quote)))


@get("/admin/prices/{asset:str}", summary="The price set by hand")
async def read_operator_price(
    call: NamedDependency[Call], asset: FromPath[str]
) -> OperatorPriceView:
    """Return the newest price of a token that was set by hand, also when it is over."""
    token = prices.token_named(asset)
    found = await call.read(lambda uow: operator_prices.read_price(uow, call.caller, token))
    return operator_price_view(found)


@put("/admin/prices/{asset:str}", summary="Set a price by hand")
async def set_operator_price(
    call: NamedDependency[Call], asset: FromPath[str], data: JSONBody[SetOperatorPrice]
) -> Response[OperatorPriceView]:
    """Take a signed, expiring price; it is used, and shown as the operator's, while the market has none."""
    token = prices.token_named(asset)
    statement = from_wire(data.statement)
    return await call.write(
        lambda uow: operator_price_view(
            operator_prices.set_price(uow, call.caller, token, statement, call.now_ms)
        )
    )


@delete("/admin/prices/{asset:str}", status_code=200, summary="Withdraw the price set by hand")
async def withdraw_operator_price(
    call: NamedDependency[Call], asset: FromPath[str]
) -> Response[OperatorPriceView]:
    """Take the standing price by hand back at once."""
    token = prices.token_named(asset)
    return await call.write(
        lambda uow: operator_price_view(
            operator_prices.withdraw_price(uow, call.caller, token, call.now_ms)
        )
    )


@post("/admin/prices/{asset:str}/resume", status_code=200, summary="Let a halted price back")
async def resume_price(call: NamedDependency[Call], asset: FromPath[str]) -> Response[PriceView]:
    """Say that a halted price was looked at: the next good round closes its breaker."""
    token = prices.token_named(asset)
    return await call.write(
        lambda uow: price_view(prices.resume(uow, call.caller, token, call.now_ms), call.now_ms)
    )


def board_view(found: PriceBoard, now_ms: int) -> PricesView:
    """Render all prices and sources."""
    return PricesView(
        now=rfc3339(now_ms),
        prices=tuple(price_view(one, now_ms) for one in found.prices),
        sources=tuple(_source_view(one) for one in found.sources),
    )


def price_view(found: AssetPrice, now_ms: int) -> PriceView:
    """Render one token's price, or its absence."""
    price = found.price
    return PriceView(
        asset=found.asset,
        state=found.state,
        state_since=rfc3339(found.state_since_ms) if found.state_since_ms else None,
        usd=text_of(price.price_e12) if price else None,
        origin=price.origin if price else None,
        at=rfc3339(price.at_ms) if price else None,
        until=rfc3339(price.until_ms) if price and price.until_ms is not None else None,
        age_s=max(0, now_ms - price.at_ms) // SECOND_MS if price else None,
        spread_ppm=price.spread_ppm if price else None,
        can_quote=found.can_quote,
        reason=found.reason,
        observations=tuple(map(observation_view, found.observations)),
    )


def observation_view(found: Observation) -> ObservationView:
    """Render what one source said."""
    return ObservationView(
        source=found.source,
        base=found.base,
        quote=found.quote,
        price=text_of(found.price_e12),
        observed_at=rfc3339(found.observed_at_ms),
        received_at=rfc3339(found.received_at_ms),
    )


def quote_view(found: Quote) -> QuoteView:
    """Render a quote."""
    return QuoteView(
        id=found.id,
        amount=Amount(amount_minor=str(found.amount_minor), asset=found.asset),
        price_of=Amount(amount_minor=str(found.dollars_minor), asset=DOLLAR),
        usd=text_of(found.price_e12),
        origin=found.origin,
        made_at=rfc3339(found.made_at_ms),
        expires_at=rfc3339(found.expires_at_ms),
        used=bool(found.used_at_ms),
        observations=tuple(map(observation_view, found.observations)),
    )


def operator_price_view(found: OperatorPrice) -> OperatorPriceView:
    """Render a price set by hand."""
    withdrawn = rfc3339(found.withdrawn_at_ms) if found.withdrawn_at_ms else None
    return OperatorPriceView(
        asset=found.asset,
        n=found.number,
        next_n=found.number + 1,
        usd=text_of(found.price_e12),
        until=rfc3339(found.until_ms),
        set_at=rfc3339(found.set_at_ms),
        withdrawn_at=withdrawn,
        account=found.account,
        kid=found.kid,
        statement=to_wire(found.statement),
    )


def chart_view(
    token: Asset, wanted: ChartRange, step_ms: int, found: tuple[Candle, ...]
) -> PriceChart:
    """Render candles as the columns that a chart draws."""
    return PriceChart(
        asset=token,
        range=wanted,
        step_s=step_ms // SECOND_MS,
        at_s=tuple(one.at_ms // SECOND_MS for one in found),
        open=tuple(text_of(one.open_e12) for one in found),
        high=tuple(text_of(one.high_e12) for one in found),
        low=tuple(text_of(one.low_e12) for one in found),
        close=tuple(text_of(one.close_e12) for one in found),
    )


def _source_view(found: SourceReport) -> SourceView:
    return SourceView(
        source=found.source,
        base=found.base,
        quote=found.quote,
        looked_at=rfc3339(found.at_ms),
        problem=found.reason,
    )


def _before_ms(cursor: str, now_ms: int) -> int:
    if not cursor:
        return now_ms + 1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 15):
        raise Invalid("not a cursor of this list", field="cursor")
    return int(cursor)


ROUTES = (
    read_prices,
    read_price,
    read_price_history,
    read_price_chart,
    make_quote,
    read_quote,
    read_operator_price,
    set_operator_price,
    withdraw_operator_price,
    resume_price,
)

"""Prices of tokens, quotes, and prices that operators set by hand."""

from __future__ import annotations

from decent_cloud.client.statements import to_wire
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys.statements import Statement
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import ChartRange
from decent_cloud.wire.v1.prices import (
    AskQuote,
    OperatorPriceView,
    PriceChart,
    PriceHistoryPage,
    PricesView,
    PriceView,
    QuoteView,
    SetOperatorPrice,
)


class PricesApi:
    """The routes of prices; each may raise ApiProblem, Unreachable or BadAnswer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> PricesView:
        """Return every token's price and how each source did."""
        return self._transport.get("/prices", PricesView)

    def one(self, asset: Asset) -> PriceView:
        """Return one token's price, or why there is none."""
        return self._transport.get(f"/prices/{asset.value}", PriceView)

    def history(self, asset: Asset, cursor: str, limit: int) -> PriceHistoryPage:
        """Return a page of accepted prices, newest first."""
        query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return self._transport.get(f"/prices/{asset.value}/history", PriceHistoryPage, query)

    def chart(self, asset: Asset, range_: ChartRange) -> PriceChart:
        """Return a chart's columns."""
        query = {"range": range_.value}
        return self._transport.get(f"/prices/{asset.value}/chart", PriceChart, query)

    def ask(self, asset: Asset, dollars_minor: int) -> QuoteView:
        """Lock the price of a token for an amount of cents."""
        body = AskQuote(asset=asset, usd_minor=str(dollars_minor))
        return self._transport.write("POST", "/quotes", QuoteView, body)

    def quote(self, quote: str) -> QuoteView:
        """Return a quote of the calling account."""
        return self._transport.get(f"/quotes/{quote}", QuoteView)

    def by_hand(self, asset: Asset) -> OperatorPriceView:
        """Return the newest price set by hand, as an admin."""
        return self._transport.get(f"/admin/prices/{asset.value}", OperatorPriceView)

    def set_by_hand(self, asset: Asset, statement: Statement) -> OperatorPriceView:
        """Set a price by hand, as an admin."""
        body = SetOperatorPrice(statement=to_wire(statement))
        return self._transport.write("PUT", f"/admin/prices/{asset.value}", OperatorPriceView, body)

    def withdraw(self, asset: Asset) -> OperatorPriceView:
        """Take the standing price by hand back, as an admin."""
        return self._transport.write("DELETE", f"/admin/prices/{asset.value}", OperatorPriceView)

    def resume(self, asset: Asset) -> PriceView:
        """Let one more good round bring a halted price back, as an admin."""
        return self._transport.write("POST", f"/admin/prices/{asset.value}/resume", PriceView)

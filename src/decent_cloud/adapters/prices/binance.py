"""Binance: the 24-hour ticker, in tether."""

from __future__ import annotations

from decent_cloud.app.ports.price_answers import part, whole
from decent_cloud.app.ports.price_sources import JsonAnswers, Moment, Reading
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.prices import Coin, PriceSource

ORIGIN = "https://data-api.binance.vision"  # its public market data; the main site is shut in some countries


class Binance:
    """Keeps the port `Source`."""

    name = PriceSource.BINANCE
    pairs = (Pair(Coin.ICP, Coin.USDT), Pair(Coin.BTC, Coin.USDT))
    pause_s = 0.2

    def __init__(self, answers: JsonAnswers) -> None:
        self._answers = answers

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        query = {"symbol": f"{pair.base.value}{pair.quote.value}"}
        answer = await self._answers.get("/api/v3/ticker/24hr", query)
        return Reading(pair, from_text(part(answer, "lastPrice")), whole(answer, "closeTime"))

    async def close(self) -> None:
        await self._answers.close()

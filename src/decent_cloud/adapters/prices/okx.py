"""OKX: one-minute candles, newest first, in tether."""

from __future__ import annotations

from decent_cloud.app.ports.price_answers import expect, part, rows, whole
from decent_cloud.app.ports.price_sources import JsonAnswers, Moment, Reading
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.prices import Coin, PriceSource

ORIGIN = "https://www.okx.com"


class Okx:
    """Keeps the port `Source`."""

    name = PriceSource.OKX
    pairs = (Pair(Coin.ICP, Coin.USDT), Pair(Coin.BTC, Coin.USDT))
    pause_s = 0.2

    def __init__(self, answers: JsonAnswers) -> None:
        self._answers = answers

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        name = f"{pair.base.value}-{pair.quote.value}"
        query = {"instId": name, "bar": "1m", "limit": "3"}
        answer = await self._answers.get("/api/v5/market/candles", query)
        expect(answer, "0", "code")
        newest = max(rows(answer, "data"), key=lambda row: whole(row, 0))
        return Reading(pair, from_text(part(newest, 4)), whole(newest, 0))

    async def close(self) -> None:
        await self._answers.close()

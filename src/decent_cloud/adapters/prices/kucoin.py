"""KuCoin: one-minute candles, newest first, in tether."""

from __future__ import annotations

from decent_cloud.app.ports.price_answers import expect, part, rows, seconds_ms
from decent_cloud.app.ports.price_sources import JsonAnswers, Moment, Reading
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.prices import Coin, PriceSource

ORIGIN = "https://api.kucoin.com"


class KuCoin:
    """Keeps the port `Source`."""

    name = PriceSource.KUCOIN
    pairs = (Pair(Coin.ICP, Coin.USDT), Pair(Coin.BTC, Coin.USDT))
    pause_s = 0.2

    def __init__(self, answers: JsonAnswers) -> None:
        self._answers = answers

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        symbol = f"{pair.base.value}-{pair.quote.value}"
        start_s = (moment.now_ms - 5 * MINUTE_MS) // SECOND_MS
        query = {"type": "1min", "symbol": symbol, "startAt": str(start_s)}
        answer = await self._answers.get("/api/v1/market/candles", query)
        expect(answer, "200000", "code")
        newest = max(rows(answer, "data"), key=lambda row: seconds_ms(row, 0))
        return Reading(pair, from_text(part(newest, 2)), seconds_ms(newest, 0))

    async def close(self) -> None:
        await self._answers.close()

"""Kraken: one-minute candles, in real dollars, since its ticker tells no time."""

from __future__ import annotations

from decent_cloud.app.ports.price_answers import part, rows, seconds_ms, whole
from decent_cloud.app.ports.price_sources import JsonAnswers, Moment, Reading, SourceFailed
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS
from decent_cloud.kernel.prices import Coin, PriceSource

ORIGIN = "https://api.kraken.com"
_NAMES = {Coin.ICP: "ICPUSD", Coin.BTC: "XBTUSD", Coin.USDT: "USDTUSD", Coin.USDC: "USDCUSD"}


class Kraken:
    """Keeps the port `Source`."""

    name = PriceSource.KRAKEN
    pairs = tuple(Pair(coin, Coin.USD) for coin in _NAMES)
    pause_s = 1.2  # about one a second is allowed

    def __init__(self, answers: JsonAnswers) -> None:
        self._answers = answers

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        since_s = (moment.now_ms - 5 * MINUTE_MS) // SECOND_MS
        query = {"pair": _NAMES[pair.base], "interval": "1", "since": str(since_s)}
        answer = await self._answers.get("/0/public/OHLC", query)
        errors = part(answer, "error")
        if errors:
            raise SourceFailed(f"refused: {str(errors)[:80]}")
        result = part(answer, "result")
        # It names the pair in its own way: the only entry beside `last` is ours.
        names = [name for name in result if name != "last"] if isinstance(result, dict) else []
        if len(names) != 1:
            raise SourceFailed("answered for another number of pairs than one")
        traded = [row for row in rows(result, names[0]) if whole(row, 7)]
        newest = rows(traded)[-1]
        return Reading(pair, from_text(part(newest, 4)), seconds_ms(newest, 0))

    async def close(self) -> None:
        await self._answers.close()

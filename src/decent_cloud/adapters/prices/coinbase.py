"""Coinbase Exchange: the ticker, in real dollars."""

from __future__ import annotations

from decent_cloud.app.ports.price_answers import instant_ms, part
from decent_cloud.app.ports.price_sources import JsonAnswers, Moment, Reading
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.prices import Coin, PriceSource

ORIGIN = "https://api.exchange.coinbase.com"


class Coinbase:
    """Keeps the port `Source`."""

    name = PriceSource.COINBASE
    pairs = tuple(Pair(c, Coin.USD) for c in (Coin.ICP, Coin.BTC, Coin.USDT, Coin.USDC))
    pause_s = 0.2  # 10 a second are allowed

    def __init__(self, answers: JsonAnswers) -> None:
        self._answers = answers

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        path = f"/products/{pair.base.value}-{pair.quote.value}/ticker"
        answer = await self._answers.get(path, {})
        return Reading(pair, from_text(part(answer, "price")), instant_ms(answer, "time"))

    async def close(self) -> None:
        await self._answers.close()

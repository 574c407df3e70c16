"""CoinGecko: an aggregate of exchanges, which counts only where they are few."""

from __future__ import annotations

from decent_cloud.app.ports.price_answers import part, seconds_ms
from decent_cloud.app.ports.price_sources import JsonAnswers, Moment, Reading
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.prices import Coin, PriceSource

ORIGIN = "https://api.coingecko.com"
KEY_HEADER = "x-cg-demo-api-key"
_NAMES = {
    Coin.ICP: "internet-computer",
    Coin.BTC: "bitcoin",
    Coin.USDT: "tether",
    Coin.USDC: "usd-coin",
}


class CoinGecko:
    """Keeps the port `Source`."""

    name = PriceSource.COINGECKO
    pairs = tuple(Pair(coin, Coin.USD) for coin in _NAMES)
    pause_s = 1.0  # 30 a minute are allowed with a key by its older texts

    def __init__(self, answers: JsonAnswers) -> None:
        self._answers = answers

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        name = _NAMES[pair.base]
        query = {
            "ids": name,
            "vs_currencies": "usd",
            "include_last_updated_at": "true",
            "precision": "full",
        }
        answer = await self._answers.get("/api/v3/simple/price", query)
        price_e12 = from_text(part(answer, name, "usd"))
        return Reading(pair, price_e12, seconds_ms(answer, name, "last_updated_at"))

    async def close(self) -> None:
        await self._answers.close()

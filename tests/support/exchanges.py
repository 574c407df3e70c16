"""Exchanges on loopback that answer in the shapes they document, from one market that a test moves, with faults."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from decent_cloud.kernel.clock import SystemClock, rfc3339
from decent_cloud.kernel.prices import PriceSource
from tests.support.loopback import Asked, Reply, serving

EXCHANGES = (
    PriceSource.COINBASE,
    PriceSource.KRAKEN,
    PriceSource.BINANCE,
    PriceSource.KUCOIN,
    PriceSource.OKX,
    PriceSource.COINGECKO,
)


class Fault(StrEnum):
    """What can be wrong with an exchange."""

    NONE = "none"
    LIMITED = "429"
    SHUT = "451"
    BROKEN = "500"
    OVERLOADED = "503"
    MOVED = "302"
    SLOW = "slow"
    DRIPPING = "dripping"  # alive, byte by byte, for ever
    STALE = "stale"
    AHEAD = "ahead"
    GARBAGE = "garbage"
    ODD = "odd"  # JSON, of another shape
    HTML = "html"
    HUGE = "huge"
    CUT = "cut"
    ABSURD = "absurd"
    ZERO = "zero"
    NEGATIVE = "negative"
    NOT_A_NUMBER = "nan"
    DEEP = "deep"
    EMPTY = "empty"
    REFUSING = "refusing"  # 200, and an error inside


@dataclass(slots=True)
class Market:
    """What everything costs now, what is wrong where, and what was asked."""

    usd: dict[str, Decimal] = field(
        default_factory=lambda: {
            "ICP": Decimal("5.25"),
            "BTC": Decimal("60000.5"),
            "USDT": Decimal("0.9999"),
            "USDC": Decimal(1),
        }
    )
    faults: dict[PriceSource, Fault] = field(default_factory=dict)
    absurd: dict[PriceSource, Decimal] = field(default_factory=dict)
    slow_s: float = 2.0
    now_ms: Callable[[], int] = SystemClock().now_ms
    asked: list[tuple[PriceSource, str, Mapping[str, str]]] = field(default_factory=list)

    def fault(self, source: PriceSource) -> Fault:
        return self.faults.get(source, Fault.NONE)

    def cost(self, source: PriceSource, base: str, quote: str = "USD") -> str:
        """Return a price as this exchange would write it."""
        fault = self.fault(source)
        if fault is Fault.ZERO:
            return "0.00000000"
        if fault is Fault.NEGATIVE:
            return "-5"
        if fault is Fault.NOT_A_NUMBER:
            return "NaN"
        price = self.usd[base] if quote == "USD" else self.usd[base] / self.usd[quote]
        if fault is Fault.ABSURD:
            price *= self.absurd.get(source, Decimal(1000))
        return f"{price:.8f}"

    def moment_ms(self, source: PriceSource) -> int:
        """Return when the last trade was."""
        shift_ms = {Fault.STALE: -3_600_000, Fault.AHEAD: 3_600_000}.get(self.fault(source), 0)
        return self.now_ms() + shift_ms

    def answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for prefix, (source, shape) in _SHAPES.items():
            if parts.path.startswith(prefix):
                self.asked.append((source, parts.path, asked.headers))
                return self._bent(source) or _json(shape(self, parts.path, query))
        return Reply(404, b'{"message":"NotFound"}')

    def _bent(self, source: PriceSource) -> Reply | None:
        fault = self.fault(source)
        if fault.value.isdigit():
            headers = {"Location": "http://127.0.0.1:1/"} if fault is Fault.MOVED else {}
            return Reply(int(fault.value), b"<html>no</html>", headers)
        if fault is Fault.SLOW:
            time.sleep(self.slow_s)
        bodies = {
            Fault.GARBAGE: b"\x00\xff{",
            Fault.ODD: b'{"data":{"price":[1,2]},"result":7,"code":"200000","error":[]}',
            Fault.HTML: b"<!doctype html><title>Attention required</title>",
            Fault.HUGE: b'{"pad":"' + b"a" * 2_000_000 + b'"}',
            Fault.DEEP: b"[" * 200_000,
            Fault.EMPTY: b"",
        }
        if fault in bodies:
            return Reply(200, bodies[fault])
        if fault is Fault.DRIPPING:
            return Reply(200, chunks=self._drops())
        return Reply(cut=True) if fault is Fault.CUT else None

    def _drops(self) -> Iterator[bytes]:
        until = time.monotonic() + 10 * self.slow_s
        while time.monotonic() < until:
            yield b" "
            time.sleep(0.05)


def _json(value: object) -> Reply:
    return Reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _coinbase(market: Market, path: str, _query: Mapping[str, str]) -> object:
    base, quote = path.split("/")[2].split("-")
    price = market.cost(PriceSource.COINBASE, base, quote)
    at = rfc3339(market.moment_ms(PriceSource.COINBASE)).replace("Z", "123456Z")
    if market.fault(PriceSource.COINBASE) is Fault.REFUSING:
        return {"message": "Unauthorized."}
    return {
        "ask": price, "bid": price, "volume": "1234.5", "trade_id": 86326522, "price": price, "size": "0.2", "time": at,
    }  # fmt: skip


def _kraken(market: Market, _path: str, query: Mapping[str, str]) -> object:
    if market.fault(PriceSource.KRAKEN) is Fault.REFUSING:
        return {"error": ["EAPI:Rate limit exceeded"]}
    base = {"XBTUSD": "BTC"}.get(query["pair"], query["pair"].removesuffix("USD"))
    own = {"BTC": "XXBTZUSD", "USDT": "USDTZUSD"}.get(base, query["pair"])
    price = market.cost(PriceSource.KRAKEN, base)
    minute_s = market.moment_ms(PriceSource.KRAKEN) // 60_000 * 60
    rows = [
        [minute_s - 60, "1", "1", "1", "1", "1", "9", 3],
        [minute_s, price, price, price, price, price, "12.5", 4],
        # Nobody has traded in this one yet.
        [minute_s + 60, "7", "7", "7", "7", "0", "0", 0],
    ]
    return {"error": [], "result": {own: rows, "last": minute_s - 60}}


def _binance(market: Market, _path: str, query: Mapping[str, str]) -> object:
    if market.fault(PriceSource.BINANCE) is Fault.REFUSING:
        return {"code": -1121, "msg": "Invalid symbol."}
    price = market.cost(PriceSource.BINANCE, query["symbol"].removesuffix("USDT"), "USDT")
    at_ms = market.moment_ms(PriceSource.BINANCE)
    return {
        "symbol": query["symbol"], "lastPrice": price, "bidPrice": price, "askPrice": price, "volume": "99.1",
        "openTime": at_ms - 86_400_000, "closeTime": at_ms, "count": 76,
    }  # fmt: skip


def _kucoin(market: Market, _path: str, query: Mapping[str, str]) -> object:
    if market.fault(PriceSource.KUCOIN) is Fault.REFUSING:
        return {"code": "429000", "msg": "Too many requests"}
    base, quote = query["symbol"].split("-")
    price = market.cost(PriceSource.KUCOIN, base, quote)
    at_s = market.moment_ms(PriceSource.KUCOIN) // 1_000
    newest = [str(at_s), "1", price, "9", "0.5", "280.4", "96614.1"]
    return {"code": "200000", "data": [newest, [str(at_s - 60), "1", "1", "1", "1", "0", "0"]]}


def _okx(market: Market, _path: str, query: Mapping[str, str]) -> object:
    if market.fault(PriceSource.OKX) is Fault.REFUSING:
        return {"code": "50011", "msg": "Too Many Requests", "data": []}
    base, quote = query["instId"].split("-")
    price = market.cost(PriceSource.OKX, base, quote)
    at_ms = market.moment_ms(PriceSource.OKX)
    newest = [str(at_ms), "1", "9", "0.5", price, "461.8", "19395.5", "19395.5", "0"]
    return {"code": "0", "msg": "", "data": [newest, [str(at_ms - 60_000), *["1"] * 8]]}


def _coingecko(market: Market, _path: str, query: Mapping[str, str]) -> object:
    if market.fault(PriceSource.COINGECKO) is Fault.REFUSING:
        return {"status": {"error_code": 429, "error_message": "You've exceeded the Rate Limit."}}
    names = {"internet-computer": "ICP", "bitcoin": "BTC", "tether": "USDT", "usd-coin": "USDC"}
    price = market.cost(PriceSource.COINGECKO, names[query["ids"]])
    at_s = market.moment_ms(PriceSource.COINGECKO) // 1_000
    return {query["ids"]: {"usd": float(price), "last_updated_at": at_s}}


_SHAPES: Mapping[str, tuple[PriceSource, Callable[[Market, str, Mapping[str, str]], object]]] = {
    "/products/": (PriceSource.COINBASE, _coinbase),
    "/0/public/OHLC": (PriceSource.KRAKEN, _kraken),
    "/api/v3/ticker/24hr": (PriceSource.BINANCE, _binance),
    "/api/v1/market/candles": (PriceSource.KUCOIN, _kucoin),
    "/api/v5/market/candles": (PriceSource.OKX, _okx),
    "/api/v3/simple/price": (PriceSource.COINGECKO, _coingecko),
}


@contextmanager
def trading(market: Market) -> Iterator[str]:
    """Serve all exchanges at one origin until the block ends."""
    with serving(market.answer) as origin:
        yield origin


def addresses(origin: str) -> tuple[str, ...]:
    """Return the setting `price_addresses` that leads every exchange here."""
    return tuple(f"{source.value}={origin}" for source in EXCHANGES)

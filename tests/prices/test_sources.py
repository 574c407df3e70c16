"""Price sources: each documented shape is read exactly, and every fault is a reason, never a number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import pytest

from decent_cloud.adapters.prices.binance import Binance
from decent_cloud.adapters.prices.coinbase import Coinbase
from decent_cloud.adapters.prices.coingecko import KEY_HEADER, CoinGecko
from decent_cloud.adapters.prices.kraken import Kraken
from decent_cloud.adapters.prices.kucoin import KuCoin
from decent_cloud.adapters.prices.okx import Okx
from decent_cloud.adapters.reach.guard import AddressGuard, AddressRefused
from decent_cloud.adapters.reach.json_answers import GuardedJson, decoded
from decent_cloud.app.ports.price_answers import instant_ms, part, rows, whole
from decent_cloud.app.ports.price_sources import (
    JsonAnswers,
    Moment,
    Query,
    Reading,
    Source,
    SourceFailed,
)
from decent_cloud.domain.pricing.errors import BadPrice
from decent_cloud.domain.pricing.numbers import from_text
from decent_cloud.domain.pricing.observation import STALE_AFTER_MS, Pair
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.errors import DecentError, Invalid
from decent_cloud.kernel.prices import Coin, PriceSource
from tests.support.exchanges import Fault, Market, trading
from tests.support.loopback import Asked, Reply, serving

OPEN = AddressGuard(loopback=True)
MAKERS: dict[PriceSource, Callable[[JsonAnswers], Source]] = {
    PriceSource.COINBASE: Coinbase,
    PriceSource.KRAKEN: Kraken,
    PriceSource.BINANCE: Binance,
    PriceSource.KUCOIN: KuCoin,
    PriceSource.OKX: Okx,
    PriceSource.COINGECKO: CoinGecko,
}
SHARED = Path(__file__).parents[3] / "shared" / "icp" / "exchange-samples"


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def origin(market: Market) -> Iterator[str]:
    with trading(market) as address:
        yield address


def ask(
    source: PriceSource, origin: str, pair: Pair | None = None, *, deadline_s: float = 5.0
) -> Reading:
    async def once() -> Reading:
        made = MAKERS[source](GuardedJson(origin, OPEN, deadline_s=deadline_s))
        try:
            return await made.read(pair or made.pairs[0], Moment(SystemClock().now_ms(), None))
        finally:
            await made.close()

    return asyncio.run(once())


@pytest.mark.parametrize("source", list(MAKERS))
def test_every_pair_of_every_exchange_is_read(
    source: PriceSource, market: Market, origin: str
) -> None:
    for pair in MAKERS[source](GuardedJson(origin, OPEN)).pairs:
        found = ask(source, origin, pair)
        expected = from_text(market.cost(source, pair.base.value, pair.quote.value))
        assert (found.pair, found.price_e12) == (pair, expected)
        age_ms = SystemClock().now_ms() - found.observed_at_ms
        assert -5_000 < age_ms < STALE_AFTER_MS[source]


@pytest.mark.parametrize("source", list(MAKERS))
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.LIMITED, "HTTP 429"),
        (Fault.SHUT, "HTTP 451"),
        (Fault.BROKEN, "HTTP 500"),
        (Fault.OVERLOADED, "HTTP 503"),
        (Fault.MOVED, "HTTP 302"),
        (Fault.GARBAGE, "not JSON"),
        (Fault.HTML, "not JSON"),
        (Fault.DEEP, "not JSON"),
        (Fault.EMPTY, "not JSON"),
        (Fault.ODD, "another|refused"),
        (Fault.HUGE, "more than 256 KiB"),
        (Fault.CUT, "HTTP as it should"),
        (Fault.REFUSING, "refused|another"),
    ],
)
def test_a_fault_is_a_reason_and_never_a_number(
    source: PriceSource, fault: Fault, reason: str, market: Market, origin: str
) -> None:
    market.faults[source] = fault
    with pytest.raises(SourceFailed, match=reason) as refused:
        ask(source, origin)
    assert "http://" not in refused.value.message


@pytest.mark.parametrize("source", list(MAKERS))
@pytest.mark.parametrize("fault", [Fault.ZERO, Fault.NEGATIVE])
def test_what_is_no_price_is_refused(
    source: PriceSource, fault: Fault, market: Market, origin: str
) -> None:
    market.faults[source] = fault
    with pytest.raises(BadPrice):
        ask(source, origin)


@pytest.mark.parametrize("source", list(MAKERS))
def test_not_a_number_is_refused(source: PriceSource, market: Market, origin: str) -> None:
    market.faults[source] = Fault.NOT_A_NUMBER
    with pytest.raises((BadPrice, SourceFailed)):
        ask(source, origin)


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.DRIPPING])
def test_one_that_takes_too_long_is_left(fault: Fault, market: Market, origin: str) -> None:
    market.faults[PriceSource.OKX] = fault
    market.slow_s = 1.0
    began = time.monotonic()
    with pytest.raises(SourceFailed, match=r"no answer within 0\.2 s"):
        ask(PriceSource.OKX, origin, deadline_s=0.2)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("fault", "fresh"), [(Fault.STALE, False), (Fault.AHEAD, False), (Fault.NONE, True)]
)
@pytest.mark.parametrize("source", list(MAKERS))
def test_the_sources_own_time_decides_its_age(
    source: PriceSource, fault: Fault, fresh: bool, market: Market, origin: str
) -> None:
    market.faults[source] = fault
    age_ms = SystemClock().now_ms() - ask(source, origin).observed_at_ms
    assert (-60_000 <= age_ms <= STALE_AFTER_MS[source]) is fresh


def test_nobody_listens() -> None:
    with pytest.raises(SourceFailed, match="cannot be reached"):
        ask(PriceSource.COINBASE, "http://127.0.0.1:1")


def test_connections_are_used_again(market: Market) -> None:
    peers: set[str] = set()

    def answer(asked: Asked) -> Reply:
        peers.add(asked.headers.get("host", ""))
        return market.answer(asked)

    async def thrice(origin: str) -> int:
        answers = GuardedJson(origin, OPEN)
        made = Okx(answers)
        for _ in range(3):
            await made.read(made.pairs[0], Moment(SystemClock().now_ms(), None))
        open_ = len(answers._pool.connections)
        await made.close()
        return open_

    with serving(answer) as origin:
        assert asyncio.run(thrice(origin)) == 1
        assert peers == {origin.removeprefix("http://")}


def test_an_address_that_the_guard_shuts_is_not_connected_to(origin: str, market: Market) -> None:
    async def once(guard: AddressGuard) -> object:
        answers = GuardedJson(origin, guard)
        try:
            return await answers.get("/products/ICP-USD/ticker", {})
        finally:
            await answers.close()

    with pytest.raises(AddressRefused):
        asyncio.run(once(AddressGuard()))
    assert market.asked == []
    assert asyncio.run(once(AddressGuard(allowed=(ip_network("127.0.0.0/8"),))))


@pytest.mark.parametrize("text", ["ftp://x", "api.example.com", "https://", "https://x/?key=1"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        GuardedJson(text, OPEN)


def test_a_key_goes_into_a_header_and_into_nothing_else(origin: str, market: Market) -> None:
    async def once() -> None:
        answers = GuardedJson(origin, OPEN, headers=((KEY_HEADER, "s3cret"),))
        made = CoinGecko(answers)
        await made.read(made.pairs[0], Moment(0, None))
        await made.close()
        assert "s3cret" not in repr(made) + repr(answers)

    asyncio.run(once())
    ((_, path, headers),) = market.asked
    assert headers[KEY_HEADER] == "s3cret"
    assert "s3cret" not in path


@pytest.mark.parametrize(
    "body", [b"NaN", b"Infinity", b"[1e999999999999999999999]", b"\xff", b"{", b"1 2"]
)
def test_odd_json_is_refused_or_harmless(body: bytes) -> None:
    try:
        found = decoded(body)
    except SourceFailed:
        return
    with pytest.raises(DecentError):
        from_text(part(found, 0))


def test_numbers_with_a_point_stay_exact() -> None:
    assert decoded(b'{"usd":0.1234567890123456789}') == {"usd": Decimal("0.1234567890123456789")}


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2024-01-02T03:04:05Z", 1_704_164_645_000),
        ("2024-01-02T03:04:05.5Z", 1_704_164_645_500),
        ("2024-01-02T03:04:05.123456789Z", 1_704_164_645_123),
        ("2024-01-02T05:04:05.1+02:00", 1_704_164_645_100),
    ],
)
def test_times_are_read_to_the_millisecond(text: str, at_ms: int) -> None:
    assert instant_ms({"time": text}, "time") == at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2024-01-02", "2024-01-02T03:04:05", None, 5])
def test_times_that_are_none_are_refused(text: object) -> None:
    with pytest.raises(SourceFailed):
        instant_ms({"time": text}, "time")


@pytest.mark.parametrize("value", [-1, True, "1.5", "٣", 10**19, "", None, "1" * 20])
def test_whole_numbers_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(SourceFailed):
        whole([value], 0)


def test_a_list_without_rows_says_so() -> None:
    with pytest.raises(SourceFailed, match="no trades"):
        rows({"data": []}, "data")


class Recorded:
    """Answers with a recorded body, whatever is asked."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def get(self, path: str, query: Query) -> object:
        return decoded(self._body)

    async def close(self) -> None:
        return None


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded bodies are not here")
@pytest.mark.parametrize(
    ("make", "name", "price", "at_ms"),
    [
        (KuCoin, "kucoin.json", "344.396", 1_620_296_820_000),
        (Okx, "okx.json", "42.07", 1_637_161_920_000),
    ],
)
def test_recorded_bodies_are_read(
    make: Callable[[JsonAnswers], Source], name: str, price: str, at_ms: int
) -> None:
    source = make(Recorded((SHARED / name).read_bytes()))
    found = asyncio.run(source.read(Pair(Coin.ICP, Coin.USDT), Moment(at_ms, None)))
    assert (found.price_e12, found.observed_at_ms) == (from_text(price), at_ms)

"""Prices from canisters: what pools and the network's own rate say, in Candid, by calls that a test answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("icp_candid", reason="the Internet Computer's libraries are an extra")

from icp_candid import DIDLoader, decode, encode  # type: ignore[import-untyped]

from decent_cloud.adapters.prices import cmc, icpswap
from decent_cloud.adapters.prices.cmc import Cmc
from decent_cloud.adapters.prices.icpswap import FACTORY, LEDGERS, IcpSwap
from decent_cloud.app.ports.price_sources import Moment, Reading, SourceFailed
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.errors import TryLater
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin

NOW_MS = 1_700_000_000_000
ICP_USD_E12 = 5 * E12
POOL = "mxzaz-hqaaa-aaaar-qaada-cai"  # any principal will do
MOMENT = Moment(NOW_MS, ICP_USD_E12)
_TYPES = DIDLoader().load_did_source(icpswap.INTERFACE)["methods"]
_RATE = DIDLoader().load_did_source(cmc.INTERFACE)["methods"][cmc.METHOD]


@dataclass(slots=True)
class Pools:
    """A factory with one pool of constant product, and the ledger that knows what it holds."""

    icp_e8: int = 1_000_000 * 10**8
    other: int = 250_000_000 * 10**9
    coin: Coin = Coin.DCT
    icp_first: bool = True
    fee_ppm: int = 3_000
    broken: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def update(self, canister: str, method: str, argument: bytes) -> bytes:
        self.asked.append(method)
        kind = _TYPES[method]
        (given,) = [one["value"] for one in decode(argument, list(kind.argTypes))]
        honest = getattr(self, f"_{method}")(canister, given)
        answer = self.broken.get(method, honest)
        if isinstance(answer, bytes):
            return answer
        return bytes(encode([{"type": kind.retTypes[0], "value": answer}]))

    async def close(self) -> None:
        return None

    def _getPool(self, canister: str, given: Any) -> Any:
        assert canister == FACTORY
        names = [LEDGERS[Coin.ICP][0], LEDGERS[self.coin][0]]
        assert sorted(given[name]["address"] for name in ("token0", "token1")) == sorted(names)
        tokens = names if self.icp_first else names[::-1]
        first, second = ({"address": one, "standard": "ICRC1"} for one in tokens)
        return {"ok": {"canisterId": POOL, "token0": first, "token1": second}}

    def _quote(self, canister: str, given: Any) -> Any:
        assert canister == POOL
        amount_in = int(given["amountIn"]) * (1_000_000 - self.fee_ppm) // 1_000_000
        of_icp = given["zeroForOne"] is self.icp_first
        into, out_of = (self.icp_e8, self.other) if of_icp else (self.other, self.icp_e8)
        return {"ok": out_of * amount_in // (into + amount_in)}

    def _icrc1_balance_of(self, canister: str, given: Any) -> Any:
        assert canister == LEDGERS[Coin.ICP][0]
        assert str(given["owner"]) == POOL
        return self.icp_e8


def read(pools: Pools, moment: Moment = MOMENT) -> Reading:
    return asyncio.run(IcpSwap(pools).read(Pair(pools.coin, Coin.ICP), moment))


@pytest.mark.parametrize("icp_first", [True, False])
def test_the_middle_of_buying_and_selling_is_the_price_whatever_the_order(icp_first: bool) -> None:
    found = read(Pools(icp_first=icp_first))
    spot_e12 = 1_000_000 * E12 // 250_000_000
    assert abs(found.price_e12 - spot_e12) * 1_000 < spot_e12  # within 0.1 %
    assert 5_000 < found.spread_ppm < 7_000  # the fee of both ways
    assert found.depth_usd_minor == 5_000_000 * 100
    assert found.observed_at_ms == NOW_MS


@pytest.mark.parametrize("coin", [Coin.CKBTC, Coin.CKUSDC, Coin.CKUSDT])
def test_decimals_of_each_token_are_counted(coin: Coin) -> None:
    other = 1_000 * 10 ** Asset(coin.value).decimals
    found = read(Pools(coin=coin, other=other, fee_ppm=0))
    assert abs(found.price_e12 - 1_000 * E12) < E12


def test_a_small_pool_shows_by_what_it_takes_to_trade_there() -> None:
    found = read(Pools(icp_e8=100 * 10**8, other=25_000 * 10**9))
    assert found.spread_ppm > 5_000
    assert found.depth_usd_minor == 50_000


def test_the_pool_is_looked_up_once() -> None:
    pools = Pools()
    source = IcpSwap(pools)

    async def twice() -> None:
        for _ in range(2):
            await source.read(Pair(Coin.DCT, Coin.ICP), MOMENT)
        await source.close()

    asyncio.run(twice())
    assert pools.asked.count("getPool") == 1
    assert pools.asked.count("quote") == 4


def test_without_an_icp_price_no_trade_can_be_sized() -> None:
    pools = Pools()
    with pytest.raises(SourceFailed, match="no ICP price yet"):
        read(pools, Moment(NOW_MS, None))
    assert pools.asked == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"getPool": {"err": {"CommonError": None}}}, "refused"),
        ({"getPool": {"err": {"InternalError": "no such pool"}}}, "no such pool"),
        ({"getPool": b"DIDL\x00\x00"}, "not what the interface promises"),
        ({"getPool": b"<html>"}, "not what the interface promises"),
        ({"quote": {"err": {"InsufficientFunds": None}}}, "refused"),
        ({"quote": {"ok": 0}}, "gives nothing"),
        ({"quote": b""}, "not what the interface promises"),
    ],
)
def test_a_canister_that_refuses_or_babbles_is_a_reason(
    broken: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SourceFailed, match=reason):
        read(Pools(broken=broken))


def test_a_pool_of_other_tokens_is_not_taken() -> None:
    strange = {"address": "aaaaa-aa", "standard": "ICRC1"}
    pool = {"ok": {"canisterId": POOL, "token0": strange, "token1": strange}}
    with pytest.raises(SourceFailed, match="other tokens"):
        read(Pools(broken={"getPool": pool}))


def test_an_absurd_pool_is_out_of_range() -> None:
    with pytest.raises(SourceFailed, match="out of range"):
        read(Pools(other=10**6))


class Rate:
    """The network's own rate."""

    def __init__(self, answer: Callable[[], bytes]) -> None:
        self._answer = answer

    async def update(self, canister: str, method: str, argument: bytes) -> bytes:
        assert (canister, method, argument) == (cmc.CANISTER, cmc.METHOD, b"DIDL\x00\x00")
        return self._answer()

    async def close(self) -> None:
        return None


def rate(permyriad: int) -> bytes:
    data = {"xdr_permyriad_per_icp": permyriad, "timestamp_seconds": 1_700_000_000}
    return bytes(encode([{"type": _RATE.retTypes[0], "value": {"data": data}}]))


def test_the_networks_rate_is_read_with_its_time() -> None:
    found = asyncio.run(Cmc(Rate(lambda: rate(37_512))).read(Cmc.pairs[0], MOMENT))
    assert (found.price_e12, found.observed_at_ms) == (37_512 * E12 // 10_000, NOW_MS)


@pytest.mark.parametrize("answer", [b"", b"<html>", rate(0)])
def test_a_rate_that_is_none_is_a_reason(answer: bytes) -> None:
    with pytest.raises(SourceFailed):
        asyncio.run(Cmc(Rate(lambda: answer)).read(Cmc.pairs[0], MOMENT))


def test_an_answer_that_does_not_verify_is_passed_on() -> None:
    def unverified() -> bytes:
        raise TryLater("the certificate does not verify")

    with pytest.raises(TryLater, match="does not verify"):
        asyncio.run(Cmc(Rate(unverified)).read(Cmc.pairs[0], MOMENT))

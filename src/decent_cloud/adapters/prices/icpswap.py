"""ICPSwap's pools on the Internet Computer: what a fixed sum buys and sells, by certified calls."""

from __future__ import annotations

import asyncio
from typing import Any

from icp_candid import DIDLoader, decode, encode  # type: ignore[import-untyped]

from decent_cloud.app.ports.price_sources import CanisterCalls, Moment, Reading, SourceFailed
from decent_cloud.domain.pricing.numbers import E12, MAX_E12
from decent_cloud.domain.pricing.observation import Pair, two_ways
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.prices import Coin, PriceSource

FACTORY = "4mmnk-kiaaa-aaaag-qbllq-cai"
LEDGERS = {
    Coin.ICP: ("ryjl3-tyaaa-aaaaa-aaaba-cai", "ICP"),
    Coin.CKBTC: ("mxzaz-hqaaa-aaaar-qaada-cai", "ICRC2"),
    Coin.CKUSDC: ("xevnm-gaaaa-aaaar-qafnq-cai", "ICRC2"),
    Coin.CKUSDT: ("cngnf-vqaaa-aaaar-qag4q-cai", "ICRC2"),
    Coin.DCT: ("ggi4a-wyaaa-aaaai-actqq-cai", "ICRC1"),
}
POOL_FEE = 3_000
TRIED_WITH_CENTS = 5_000
ICP_E8 = 10**Asset.ICP.decimals

# Queries are called as updates, so that their answers are certified; only the parts that are read are named.
INTERFACE = """
type Token = record { address : text; standard : text };
type Error = variant { CommonError; InsufficientFunds; InternalError : text; UnsupportedToken : text };
service : {
  getPool : (record { token0 : Token; token1 : Token; fee : nat }) -> (
    variant { ok : record { canisterId : principal; token0 : Token; token1 : Token }; err : Error });
  quote : (record { amountIn : text; zeroForOne : bool; amountOutMinimum : text }) -> (
    variant { ok : nat; err : Error });
  icrc1_balance_of : (record { owner : principal; subaccount : opt blob }) -> (nat);
}
"""
_METHODS = DIDLoader().load_did_source(INTERFACE)["methods"]


class IcpSwap:
    """Keeps the port `Source`."""

    name = PriceSource.ICPSWAP
    pairs = tuple(Pair(coin, Coin.ICP) for coin in LEDGERS if coin is not Coin.ICP)
    pause_s = 0.0

    def __init__(self, calls: CanisterCalls) -> None:
        self._calls = calls
        self._pools: dict[Coin, tuple[str, bool]] = {}

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        if moment.icp_usd_e12 is None:
            raise SourceFailed("no ICP price yet to size a trade by")
        pool, icp_first = await self._pool(pair.base)
        sum_e8 = TRIED_WITH_CENTS * ICP_E8 * E12 // (100 * moment.icp_usd_e12)
        bought, icp_in_pool = await asyncio.gather(
            self._quote(pool, sum_e8, zero_for_one=icp_first), self._icp_of(pool)
        )
        got_e8 = await self._quote(pool, bought, zero_for_one=not icp_first)
        unit = 10 ** Asset(pair.base.value).decimals
        buying_e12, selling_e12 = (
            one * unit * E12 // (ICP_E8 * bought) for one in (sum_e8, got_e8)
        )
        price_e12, spread_ppm = two_ways(buying_e12, selling_e12)
        if not 0 < price_e12 <= MAX_E12:
            raise SourceFailed("the pool's price is out of range")
        depth_usd_minor = icp_in_pool * moment.icp_usd_e12 * 100 // (ICP_E8 * E12)
        return Reading(pair, price_e12, moment.now_ms, spread_ppm, min(depth_usd_minor, 2**53))

    async def close(self) -> None:
        await self._calls.close()

    async def _pool(self, coin: Coin) -> tuple[str, bool]:
        """Return the coin's pool and whether ICP is its first token: the order is ICPSwap's."""
        if coin not in self._pools:
            tokens = [
                dict(zip(("address", "standard"), LEDGERS[c], strict=True))
                for c in (coin, Coin.ICP)
            ]
            asked = {"token0": tokens[0], "token1": tokens[1], "fee": POOL_FEE}
            found = _ok(await self._ask(FACTORY, "getPool", asked))
            addresses = [found[name]["address"] for name in ("token0", "token1")]
            icp, other = LEDGERS[Coin.ICP][0], LEDGERS[coin][0]
            if sorted(addresses) != sorted((icp, other)):
                raise SourceFailed("the factory named a pool of other tokens")
            self._pools[coin] = (str(found["canisterId"]), addresses[0] == icp)
        return self._pools[coin]

    async def _quote(self, pool: str, amount: int, *, zero_for_one: bool) -> int:
        asked = {"amountIn": str(amount), "zeroForOne": zero_for_one, "amountOutMinimum": "0"}
        found = _ok(await self._ask(pool, "quote", asked))
        if not isinstance(found, int) or found <= 0:
            raise SourceFailed("the pool gives nothing for this sum")
        return found

    async def _icp_of(self, pool: str) -> int:
        asked = {"owner": pool, "subaccount": []}
        found = await self._ask(LEDGERS[Coin.ICP][0], "icrc1_balance_of", asked)
        return int(found)

    async def _ask(self, canister: str, method: str, argument: object) -> Any:
        kind = _METHODS[method]
        raw = bytes(encode([{"type": kind.argTypes[0], "value": argument}]))
        reply = await self._calls.update(canister, method, raw)
        try:
            return decode(reply, list(kind.retTypes))[0]["value"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise SourceFailed(f"{method}: not what the interface promises") from None


def _ok(reply: Any) -> Any:
    if not isinstance(reply, dict) or "ok" not in reply:
        raise SourceFailed(f"refused: {str(reply)[:80]}")
    return reply["ok"]

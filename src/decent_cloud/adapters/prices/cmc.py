"""The Internet Computer's own rate of ICP in XDR (its cycles minting canister): a sanity band, by a certified call."""

from __future__ import annotations

from icp_candid import DIDLoader, decode, encode  # type: ignore[import-untyped]

from decent_cloud.app.ports.price_sources import CanisterCalls, Moment, Reading, SourceFailed
from decent_cloud.domain.pricing.numbers import E12, MAX_E12
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.prices import Coin, PriceSource

CANISTER = "rkp4c-7iaaa-aaaaa-aaaca-cai"
METHOD = "get_icp_xdr_conversion_rate"
INTERFACE = f"""
service : {{
  {METHOD} : () -> (record {{
    data : record {{ xdr_permyriad_per_icp : nat64; timestamp_seconds : nat64 }} }});
}}
"""
_RESULTS = DIDLoader().load_did_source(INTERFACE)["methods"][METHOD].retTypes


class Cmc:
    """Keeps the port `Source`."""

    name = PriceSource.CMC
    pairs = (Pair(Coin.ICP, Coin.XDR),)
    pause_s = 0.0

    def __init__(self, calls: CanisterCalls) -> None:
        self._calls = calls

    async def read(self, pair: Pair, moment: Moment) -> Reading:
        reply = await self._calls.update(CANISTER, METHOD, bytes(encode([])))
        try:
            data = decode(reply, list(_RESULTS))[0]["value"]["data"]
            price_e12 = int(data["xdr_permyriad_per_icp"]) * E12 // 10_000
            at_ms = int(data["timestamp_seconds"]) * SECOND_MS
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise SourceFailed(f"{METHOD}: not what the interface promises") from None
        if not 0 < price_e12 <= MAX_E12:
            raise SourceFailed("the rate is out of range")
        return Reading(pair, price_e12, at_ms)

    async def close(self) -> None:
        await self._calls.close()

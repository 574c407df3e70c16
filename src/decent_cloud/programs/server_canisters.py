"""Prices from the Internet Computer: its sources over certified calls of a caller that owns nothing."""

from __future__ import annotations

import asyncio
import secrets

import httpx

from decent_cloud.adapters.icp.agent import IcAgent, Patience
from decent_cloud.adapters.icp.certificates import Verifier
from decent_cloud.adapters.icp.signer import Ed25519Signer
from decent_cloud.adapters.prices.cmc import Cmc
from decent_cloud.adapters.prices.icpswap import IcpSwap
from decent_cloud.app.ports.price_sources import Source
from decent_cloud.domain.payments.icrc1_accounts import parse_principal
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.prices import PriceSource

BOUNDARY = "https://icp-api.io"
_TIMEOUT_S = 10
# A price that takes longer is asked for again in the next minute.
_PATIENCE = Patience(timeout_s=_TIMEOUT_S, pause_ms=500, looks=8)


class CertifiedCalls:
    """Keeps the port `CanisterCalls` with the agent that payouts use, and a key that is made for this process."""

    def __init__(self, origin: str, clock: Clock, verifier: Verifier | None = None) -> None:
        self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)
        signer = Ed25519Signer(secrets.token_bytes(32))
        self._agent = IcAgent(origin, self._http, signer, clock, verifier or Verifier(), _PATIENCE)

    async def update(self, canister: str, method: str, argument: bytes) -> bytes:
        """Call in a thread: the agent is plain and blocking."""
        principal = parse_principal(canister)
        answer = await asyncio.to_thread(self._agent.read, principal, method, argument)
        return answer.reply

    async def close(self) -> None:
        """Close its connections."""
        self._http.close()


def canister_sources(name: PriceSource, origin: str, clock: Clock) -> Source:
    """Return one of the sources that are canisters."""
    calls = CertifiedCalls(origin or BOUNDARY, clock)
    return Cmc(calls) if name is PriceSource.CMC else IcpSwap(calls)

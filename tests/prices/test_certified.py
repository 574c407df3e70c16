"""Prices from canisters over the network's real interface: certified answers are read, forged ones are reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("pyblst", reason="the Internet Computer's libraries are an extra")

from decent_cloud.adapters.icp.certificates import Verifier
from decent_cloud.adapters.prices.cmc import CANISTER, Cmc
from decent_cloud.adapters.prices.icpswap import FACTORY, LEDGERS, IcpSwap
from decent_cloud.app.ports.price_sources import Moment, Source
from decent_cloud.domain.payments.icrc1_accounts import parse_principal
from decent_cloud.domain.pricing.numbers import E12
from decent_cloud.domain.pricing.observation import Pair
from decent_cloud.kernel.errors import TryLater
from decent_cloud.kernel.prices import Coin, PriceSource
from decent_cloud.programs.server_canisters import CertifiedCalls, canister_sources
from tests.prices.test_pools import ICP_USD_E12, POOL, Pools, rate
from tests.support.icp.clock import START_MS, HandClock
from tests.support.icp.replica import Fault, Replica
from tests.support.loopback import serving

MOMENT = Moment(START_MS, ICP_USD_E12)


class OfPools:
    """A canister that answers as the pools do."""

    def __init__(self, name: str, pools: Pools) -> None:
        self._name = name
        self._pools = pools

    def update(self, caller: bytes, method: str, argument: bytes, at_ns: int) -> bytes:
        return asyncio.run(self._pools.update(self._name, method, argument))


class OfRate:
    """The canister that knows the network's own rate."""

    def update(self, caller: bytes, method: str, argument: bytes, at_ns: int) -> bytes:
        return rate(37_512)


@contextmanager
def replica(fault: Fault = Fault.NONE) -> Iterator[tuple[str, Replica]]:
    pools = Pools()
    names = (FACTORY, POOL, LEDGERS[Coin.ICP][0])
    made = Replica(
        HandClock(),
        canisters={parse_principal(name): OfPools(name, pools) for name in names}
        | {parse_principal(CANISTER): OfRate()},
        faults=lambda _method: fault,
    )
    with serving(made.answer) as origin:
        yield origin, made


def calls(origin: str, made: Replica) -> CertifiedCalls:
    return CertifiedCalls(origin, made.clock, Verifier(made.authority.root.der))


async def ask(source: Source) -> int:
    try:
        return (await source.read(source.pairs[-1], MOMENT)).price_e12
    finally:
        await source.close()


def test_certified_pools_and_rates_are_read() -> None:
    with replica() as (origin, made):
        dct_e12 = asyncio.run(ask(IcpSwap(calls(origin, made))))
        xdr_e12 = asyncio.run(ask(Cmc(calls(origin, made))))
    assert IcpSwap.pairs[-1] == Pair(Coin.DCT, Coin.ICP)
    assert abs(dct_e12 - 4_000_000_000) < 10_000_000
    assert xdr_e12 == 37_512 * E12 // 10_000


@pytest.mark.parametrize("fault", [Fault.LIE, Fault.WRONG_ROOT, Fault.STALE])
def test_what_a_boundary_node_invents_is_passed_over_for_what_is_certified(fault: Fault) -> None:
    with replica(fault) as (origin, made):
        assert asyncio.run(ask(Cmc(calls(origin, made)))) == 37_512 * E12 // 10_000


@pytest.mark.slow
def test_a_network_that_certifies_nothing_has_no_price() -> None:
    with replica(Fault.LIE) as (origin, made):
        made.dark = 1_000
        with pytest.raises(TryLater):
            asyncio.run(ask(Cmc(calls(origin, made))))


@pytest.mark.slow
def test_mainnets_root_key_is_the_one_that_counts() -> None:
    with replica() as (origin, made), pytest.raises(TryLater):
        asyncio.run(ask(canister_sources(PriceSource.CMC, origin, made.clock)))

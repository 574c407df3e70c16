"""How soon a paid order becomes a create call at the backend: with the event stream, and by polling alone."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from bench.figures import Figure, at_most
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.kernel.clock import parse_rfc3339
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.actors import Tenant
from devtools.market import Market, Shape
from devtools.processes import until

RENTALS = 200
WARM_UP = 5
BOUND_MS = 250.0
POLL_S = 1
TENANTS = 8
PER_SECOND = 5.0


def run() -> list[Figure]:
    """Rent 200 machines one after another with the stream on, and 200 at random moments with it off."""
    with _market() as (market, offering, tenants):
        streamed = _one_after_another(market, offering, tenants)
    with _market(stream=False) as (market, offering, tenants):
        polled = _at_random(market, offering, tenants)
    poll_bound_ms = POLL_S * 1_000 + BOUND_MS
    return [
        at_most("dispatch_p95_ms", _percentile(streamed, 95), "ms", BOUND_MS),
        at_most("dispatch_p50_ms", _percentile(streamed, 50), "ms", BOUND_MS),
        Figure(
            name="dispatch_poll_p95_ms",
            value=_percentile(polled, 95),
            unit="ms",
            baseline=f"no event stream, polled every {POLL_S} s",
            ratio=None,
            bound=f"<= {poll_bound_ms:g} ms",
            holds=_percentile(polled, 95) <= poll_bound_ms,
        ),
    ]


@contextmanager
def _market(*, stream: bool = True) -> Iterator[tuple[Market, OfferingView, list[Tenant]]]:
    # Nothing is told to hurry: the agent has its own settings but for the shorter poll of the second part.
    ordinary = {"poll_s": 30 if stream else POLL_S, "heartbeat_s": 60, "retry_first_ms": 1_000}
    with (
        tempfile.TemporaryDirectory(prefix="dc-bench-") as folder,
        Market(Path(folder), Shape(agent_settings=ordinary)) as market,
    ):
        agent = market.new_agent()
        agent.start(stream=stream)
        offering = market.offering(stock=10 * RENTALS)
        yield market, offering, [market.new_tenant() for _ in range(TENANTS)]
        agent.check_running()


def _one_after_another(
    market: Market, offering: OfferingView, tenants: list[Tenant]
) -> list[float]:
    rented = [
        (tenant, _until_active(market, tenant, offering))
        for _, tenant in zip(range(WARM_UP + RENTALS), cycle(tenants), strict=False)
    ]
    return [_dispatched_ms(market, *each) for each in rented[WARM_UP:]]


def _until_active(market: Market, tenant: Tenant, offering: OfferingView) -> str:
    contract = tenant.rent(offering).id
    _until_created(market, contract)
    until("it is active", lambda: tenant.contract(contract).state == "active")
    return contract


def _until_created(market: Market, contract: str) -> None:
    until("the machine is asked for", lambda: market.cloud.calls(Verb.CREATE, contract))


def _at_random(market: Market, offering: OfferingView, tenants: list[Tenant]) -> list[float]:
    """Order at moments that know nothing of the poll's."""
    chance = random.Random(1)
    placed: list[tuple[Tenant, str]] = []
    for _, tenant in zip(range(RENTALS), cycle(tenants), strict=False):
        placed.append((tenant, tenant.rent(offering).id))
        time.sleep(chance.uniform(0.5, 1.5) / PER_SECOND)
    for _, contract in placed:
        _until_created(market, contract)
    return [_dispatched_ms(market, tenant, contract) for tenant, contract in placed]


def _dispatched_ms(market: Market, tenant: Tenant, contract: str) -> float:
    """Return the time between the contract's `settled` and the first create call, by one machine's clock."""
    (settled,) = [each for each in tenant.history(contract).items if each.event == "settled"]
    called = market.cloud.calls(Verb.CREATE, contract)[0]
    return float(called.at_ms - parse_rfc3339(settled.at))


def _percentile(values: list[float], share: int) -> float:
    return round(statistics.quantiles(values, n=100, method="inclusive")[share - 1], 3)

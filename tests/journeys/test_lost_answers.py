"""The answer to a request is lost once, for every route that the agent uses: the rental must come out the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.market import Market, Shape
from devtools.processes import free_port
from tests.journeys import convergence
from tests.support.http_proxy import HttpProxy, http_proxy

pytestmark = [pytest.mark.journey, pytest.mark.slow]

# The stream is only a hint and is tried where streams are; both are asked for by themselves, not for a rental.
UNTOUCHED = {"GET /api/v1/agents/me/events", "POST /api/v1/providers/*/heartbeat"}


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Market, HttpProxy]]:
    shape = Shape(port=free_port(), proxy_port=free_port(), agent_settings={"lease_renew_s": 1})
    with (
        Market(tmp_path, shape) as market,
        http_proxy(("127.0.0.1", shape.port), shape.proxy_port) as proxy,
    ):
        market.cloud.change(unique_names=False)
        yield market, proxy


def test_no_lost_answer_makes_a_difference(proxied: tuple[Market, HttpProxy]) -> None:
    market, proxy = proxied
    agent = market.new_agent()
    agent.start()
    signer = f'keyid="{market.provider.id}.{market.kid(agent)}"'.encode()
    # Slow enough that a lease has to be renewed.
    market.cloud.change(unique_names=False, before_ms={"create": 1_200})
    _rent_and_end(market)
    routes = sorted({each.route for each in proxy.requests if signer in each.raw} - UNTOUCHED)
    assert len(routes) >= 6, routes

    for route in routes:
        slow = {"create": 1_200} if "renew" in route else {}
        market.cloud.change(before_ms=slow)
        proxy.lose_answer_to(route)
        _rent_and_end(market)
        assert proxy.lost[-1:] == [route]


def _rent_and_end(market: Market) -> None:
    # A newcomer and a new offering each time: what the agent knows already it does not ask for.
    contract = market.change_tenant().rent(market.offering()).id
    view = convergence.settled(market, contract)
    assert view.state == "active"
    convergence.ended(market, contract)

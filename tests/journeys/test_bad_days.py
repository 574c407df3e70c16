"""What goes wrong at a provider's: a clear word to everybody, the money back, and nothing lost."""

from __future__ import annotations

import pytest

from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.wire.v1.agents import AgentsView
from devtools.market import Market
from devtools.processes import until
from tests.journeys import convergence

pytestmark = pytest.mark.journey


def test_an_engine_that_cannot_be_reached_is_named_and_the_order_paid_back(
    market: Market,
) -> None:
    pool = market.provider.new_pool("docker")
    agent = market.new_agent(
        pool=pool,
        driver="docker",
        driver_settings={"engine": f"unix://{market.folder}/no-engine.sock"},
    )
    agent.start()
    offering = market.offering(pool=pool)
    contract = market.tenant.rent(offering).id

    def alarms() -> str:
        path = f"/providers/{market.provider.id}/agent-status"
        (seen,) = market.provider.api.get(path, AgentsView).items
        return " ".join(seen.alarms)

    until("the provider is told", lambda: "engine" in alarms())
    assert "no-engine.sock" in alarms()
    assert market.tenant.contract(contract).state == "accepted"
    assert agent.running

    market.pass_time(61 * MINUTE_MS)
    market.wait_state(contract, "failed")
    view = market.wait_refunded(contract)
    assert market.paid_back_minor(contract) == (36, 36)
    market.check_terms(view)
    market.check_books()


def test_with_no_port_left_the_next_order_fails_with_its_money_back(market: Market) -> None:
    path = str(market.folder / "cloud.db")
    one_port = {"path": path, "first_port": 31_000, "last_port": 31_000}
    market.new_agent(driver_settings=one_port).start()
    offering = market.offering()
    first = market.tenant.rent(offering).id
    market.wait_state(first, "active")

    second = market.tenant.rent(offering).id
    market.wait_state(second, "failed")
    view = market.wait_refunded(second)
    assert view.end_reason == "no_capacity"
    assert "port" in market.tenant.history(second).items[-1].evidence
    assert market.paid_back_minor(second) == (36, 36)
    assert market.made(second) == 0

    convergence.ended(market, first)
    third = market.tenant.rent(offering).id
    convergence.settled(market, third)
    assert market.tenant.contract(third).state == "active"


def test_a_full_disk_under_the_journal_stops_new_work_and_loses_none(market: Market) -> None:
    market.cloud.change(unique_names=False)
    agent = market.new_agent()
    agent.start()
    offering = market.offering()
    first = market.tenant.rent(offering).id
    convergence.settled(market, first)
    agent.stop()

    agent.start(journal_room_pages=2)
    others = [market.new_tenant() for _ in range(6)]
    contracts = [each.rent(offering).id for each in others]
    until("the agent says that its disk is full", lambda: "journal_full" in agent.log.read_text())
    assert agent.running
    assert market.running(first) == 1

    agent.kill()
    agent.start()
    until(
        "every order is fulfilled",
        lambda: (
            [a.contract(b).state.value for a, b in zip(others, contracts, strict=True)]
            == ["active"] * len(others)
        ),
    )
    assert [market.made(each) for each in contracts] == [1] * len(contracts)
    convergence.ended(market, first)
    for tenant, contract in zip(others, contracts, strict=True):
        tenant.cancel(contract)
        market.wait_gone(contract)
    market.check_books()

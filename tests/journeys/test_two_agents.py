"""Two agents of one pool: one contract gets one machine, and the slower agent keeps aside what it made."""

from __future__ import annotations

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.client.errors import ApiProblem
from decent_cloud.drivers.fake.backend import Machine
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import Market
from devtools.processes import AgentProgram, until
from tests.journeys import convergence
from tests.journeys.late import report_late, stage_of

pytestmark = pytest.mark.journey


def test_many_orders_for_two_agents_give_one_machine_each(market: Market) -> None:
    market.cloud.change(unique_names=False)
    agents = [market.new_agent(), market.new_agent()]
    for agent in agents:
        agent.start()
    offering = market.offering()

    rented = [market.tenant.rent(offering).id for _ in range(2)]
    others = [market.new_tenant() for _ in range(5)]
    rented += [other.rent(offering).id for other in others]
    until("all have machines", lambda: len(market.cloud.machines()) == len(rented))
    for contract in rented[:2]:
        convergence.settled(market, contract)
        convergence.ended(market, contract)

    assert [len(market.machines(contract)) for contract in rented] == [1] * len(rented)


def test_the_slower_agent_of_two_is_refused_and_goes_on(market: Market) -> None:
    """It comes back before its create call, and finds the other's machine."""
    slow, quick, offering = _two_agents(market)
    slow.start(freeze_at=steps.CREATE_CALLED)
    contract = market.tenant.rent(offering).id
    slow.wait_frozen()
    winner = _taken_over(market, quick, contract)

    slow.thaw()
    until("the slow agent knows", lambda: stage_of(market, slow, contract) is Stage.QUARANTINED)
    assert market.tenant.open_credential(contract).access.host_keys == (winner.host_key,)
    assert market.made(contract) == 1

    other = market.tenant.rent(market.wait_rentable(offering)).id
    convergence.settled(market, other)
    assert slow.running
    convergence.ended(market, contract)


@pytest.mark.parametrize("kill_at", ["", steps.QUARANTINE_JOURNALLED])
def test_a_second_machine_made_too_late_is_kept_aside_and_removed_at_the_end(
    market: Market, kill_at: str
) -> None:
    """It comes back in the middle of its create call, in a cloud that then makes a second machine."""
    slow, quick, offering = _two_agents(market)
    market.cloud.change(before_ms={Verb.CREATE.value: 2_000})
    slow.start(kill_at)
    contract = market.tenant.rent(offering).id
    until("the create call is under way", lambda: market.cloud.calls(Verb.CREATE, contract))
    slow.freeze()
    market.cloud.change(before_ms={})
    winner = _taken_over(market, quick, contract)

    slow.thaw()
    if kill_at:
        slow.wait_killed()
        slow.start()
    until("a second machine is made", lambda: market.made(contract) == 2)
    until("the slow agent knows", lambda: stage_of(market, slow, contract) is Stage.QUARANTINED)
    until("only one runs", lambda: market.running(contract) == 1)
    (running,) = [each for each in market.cloud.machines(contract) if not each.stopped]
    assert running.id == winner.id
    assert market.tenant.contract(contract).state == "active"
    assert market.tenant.open_credential(contract).access.host_keys == (winner.host_key,)
    with pytest.raises(ApiProblem) as refused:
        report_late(market, slow, contract)
    assert (refused.value.code, refused.value.status) == ("lease_lost", 409)
    assert market.tenant.contract(contract).host_keys == (winner.host_key,)

    convergence.ended(market, contract)
    assert market.alive(contract) == 0


def _two_agents(market: Market) -> tuple[AgentProgram, AgentProgram, OfferingView]:
    market.cloud.change(unique_names=False)
    slow, quick = market.new_agent("slow"), market.new_agent("quick")
    slow.start()
    offering = market.offering()
    slow.stop()
    return slow, quick, offering


def _taken_over(market: Market, quick: AgentProgram, contract: str) -> Machine:
    """Let the lease run out, and the time in which a slow create may still come to something."""
    quick.start()
    until("the second agent looks", lambda: quick.steps().count(steps.DESIRED_JOURNALLED) > 0)
    market.pass_time(17 * MINUTE_MS)
    market.wait_state(contract, "active")
    (winner,) = market.machines(contract)
    return winner


def test_another_backend_takes_nothing_over_and_a_late_success_is_taken_back(
    market: Market,
) -> None:
    slow = market.new_agent("slow")
    path = str(market.folder / "elsewhere.db")
    elsewhere = market.new_agent("elsewhere", driver_settings={"path": path})
    slow.start(freeze_at=steps.REPORT_SENT)
    offering = market.offering()
    contract = market.tenant.rent(offering).id
    slow.wait_frozen()

    elsewhere.start()
    until("it looks", lambda: elsewhere.steps().count(steps.DESIRED_JOURNALLED) > 0)
    market.pass_time(17 * MINUTE_MS)
    until("it looks again", lambda: elsewhere.steps().count(steps.DESIRED_JOURNALLED) > 3)
    assert steps.LEASE_ANSWERED not in elsewhere.steps()
    assert market.tenant.contract(contract).state == "provisioning"

    market.pass_time(15 * MINUTE_MS)
    market.wait_state(contract, "failed")
    market.wait_refunded(contract)
    slow.thaw()
    view = convergence.gone(market, market.tenant, contract)

    assert view.state == "failed"
    assert market.paid_back_minor(contract) == (36, 36)
    assert len(market.machines(contract)) == 1

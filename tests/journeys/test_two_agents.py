"""Two agents of one pool: one contract gets one machine, and the slower agent keeps aside what it made."""

from __future__ import annotations

from contextlib import closing

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.records import Stage
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Transport
from decent_cloud.kernel.clock import MINUTE_MS
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.assignments import RenewLease
from devtools.market import Market
from devtools.processes import AgentProgram, until
from tests.journeys import convergence

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


def test_the_slower_agent_of_two_is_refused_and_keeps_aside_what_it_made(market: Market) -> None:
    market.cloud.change(unique_names=False)
    slow, quick = market.new_agent("slow"), market.new_agent("quick")
    slow.start(freeze_at=steps.CREATE_CALLED)
    offering = market.offering()
    contract = market.tenant.rent(offering).id
    slow.wait_frozen()
    fence = _fence(market, slow, contract)

    # The lease runs out, and the time in which a slow create may still come to something.
    quick.start()
    until("the second agent looks", lambda: quick.steps().count(steps.DESIRED_JOURNALLED) > 0)
    market.pass_time(17 * MINUTE_MS)
    market.wait_state(contract, "active")
    (winner,) = market.machines(contract)
    slow.thaw()
    until(
        "the slow agent's report was refused",
        lambda: _stage(market, slow, contract) is Stage.QUARANTINED,
    )

    refusals = [line for line in market.server.log.read_text().splitlines() if "lease_lost" in line]
    assert any("/provisioning" in line and '"status": 409' in line for line in refusals)
    with pytest.raises(ApiProblem) as refused:
        _renew(market, slow, contract, fence)
    assert (refused.value.code, refused.value.status) == ("lease_lost", 409)
    until(
        "only one runs",
        lambda: [m.id for m in market.cloud.machines(contract) if not m.stopped] == [winner.id],
    )
    assert market.tenant.contract(contract).state == "active"
    assert market.tenant.open_credential(contract).access.host_keys == (winner.host_key,)

    # It goes on with other work, and the contract's end removes both machines.
    other = market.tenant.rent(offering).id
    convergence.settled(market, other)
    assert slow.running
    convergence.ended(market, contract)
    assert [m for m in market.machines(contract) if m.deleted_at_ms is None] == []


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


def _stage(market: Market, agent: AgentProgram, contract: str) -> Stage | None:
    with closing(market.journal(agent)) as journal:
        found = journal.instance(ContractId(contract))
        return found.stage if found else None


def _fence(market: Market, agent: AgentProgram, contract: str) -> int:
    with closing(market.journal(agent)) as journal:
        found = journal.instance(ContractId(contract))
        assert found is not None
        return found.fence


def _renew(market: Market, agent: AgentProgram, contract: str, fence: int) -> None:
    auth = DeviceAuth(market.provider.id, load_keys(agent.settings.key_file), market.clock)
    with Transport(market.server.url, auth) as transport:
        AgentApi(transport).renew_lease(ContractId(contract), RenewLease(fence=fence))

"""The agent dies by SIGKILL at every step of its journal, is started again, and must converge."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.wire.v1.contracts import ContractView
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import Market
from devtools.processes import AgentProgram, until
from tests.journeys import convergence

pytestmark = [pytest.mark.journey, pytest.mark.slow]

# On another path: each has a test of its own below.
ELSEWHERE = {
    steps.STOP_CALLED,
    steps.STOP_ANSWERED,
    steps.START_CALLED,
    steps.START_MACHINE_ANSWERED,
    steps.QUARANTINE_JOURNALLED,
}


@dataclass(frozen=True, slots=True)
class Stall:
    """An agent with a pool and an offering of its own on the module's market."""

    market: Market
    agent: AgentProgram
    offering: OfferingView

    def rent(self) -> ContractView:
        return self.market.tenant.rent(self.offering)


@pytest.fixture
def stall(shared_market: Market) -> Stall:
    market = shared_market
    # A cloud without unique names: a create that is repeated blindly makes a second machine.
    market.cloud.change(unique_names=False)
    pool = market.provider.new_pool("fake")
    agent = market.new_agent(pool=pool)
    agent.start()
    offering = market.offering(pool=pool)
    agent.kill()
    return Stall(market, agent, offering)


def _idle(stall: Stall) -> bool:
    with closing(stall.market.journal(stall.agent)) as journal:
        stages = {each.stage for each in journal.instances()}
        return not journal.reports() and not journal.ports() and stages == {Stage.ENDED}


def test_every_step_is_on_one_of_the_paths() -> None:
    covered = {*steps.CREATE_PATH, *steps.DESTROY_PATH, *ELSEWHERE}
    assert covered == set(steps.STEPS)


@pytest.mark.parametrize("step", steps.CREATE_PATH)
def test_killed_while_it_makes_a_machine(stall: Stall, step: str) -> None:
    contract = stall.rent().id
    stall.agent.start(kill_at=step)
    stall.agent.wait_killed()

    stall.agent.start()
    convergence.settled(stall.market, contract)
    convergence.ended(stall.market, contract)
    stall.agent.kill()


@pytest.mark.parametrize("step", steps.DESTROY_PATH)
def test_killed_while_it_removes_a_machine(stall: Stall, step: str) -> None:
    # A report is also sent when the machine is up; that of its end is the second.
    second = "#2" if step in steps.CREATE_PATH else ""
    contract = stall.rent().id
    stall.agent.start(kill_at=step + second)
    convergence.settled(stall.market, contract)
    stall.market.tenant.cancel(contract)
    stall.agent.wait_killed()

    stall.agent.start()
    convergence.ended(stall.market, contract)
    until("the agent has nothing left", lambda: _idle(stall))
    stall.agent.kill()

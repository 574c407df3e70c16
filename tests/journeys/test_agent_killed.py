"""The agent dies by SIGKILL at every step of its journal, is started again, and must converge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import msgspec
import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.kernel.clock import HOUR_MS, MINUTE_MS
from decent_cloud.wire.v1.contracts import ContractView
from decent_cloud.wire.v1.offerings import OfferingView
from devtools.market import ENDED, Market
from devtools.processes import AgentProgram, until
from tests.journeys import convergence

pytestmark = [pytest.mark.journey, pytest.mark.slow]

# On other paths: stop and start have tests below, quarantine in test_two_agents.py, resets where they are tried.
ELSEWHERE = {
    *steps.RESET_PATH,
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


def _stall(market: Market) -> Stall:
    agent = market.new_agent()
    agent.start()
    offering = market.offering()
    agent.kill()
    return Stall(market, agent, offering)


@pytest.fixture(scope="module")
def fakes(shared_market: Market) -> Stall:
    # A cloud without unique names: a create that is repeated blindly makes a second machine.
    shared_market.cloud.change(unique_names=False)
    return _stall(shared_market)


@pytest.fixture(scope="module")
def containers(docker_market: Market) -> Stall:
    return _stall(docker_market)


@pytest.fixture(params=["fakes", pytest.param("containers", marks=pytest.mark.docker)])
def stall(request: pytest.FixtureRequest) -> Iterator[Stall]:
    found: Stall = request.getfixturevalue(request.param)
    yield found
    _clear(found)


def _clear(stall: Stall) -> None:
    """Leave nothing for the next test: what is left to tell would pass the steps that it waits for."""
    tenant = stall.market.tenant
    if not stall.agent.running:
        stall.agent.start()
    for left in tenant.contracts("tenant"):
        if left.state not in ENDED:
            tenant.cancel(left.id)
    until("the agent has nothing left", lambda: _idle(stall))
    stall.market.wait_rentable(stall.offering)  # heard again, should time have jumped
    stall.agent.kill()


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


@pytest.mark.parametrize("step", steps.DESTROY_PATH)
def test_killed_while_it_removes_a_machine(stall: Stall, step: str) -> None:
    # A report is also sent when the machine is up; that of its end is the second.
    second = "#2" if step in steps.CREATE_PATH else ""
    contract = stall.rent().id
    stall.agent.start(kill_at=step + second)
    convergence.active(stall.market, contract)
    stall.market.tenant.cancel(contract)
    stall.agent.wait_killed()

    stall.agent.start()
    convergence.ended(stall.market, contract)
    until("the agent has nothing left", lambda: _idle(stall))


@pytest.mark.parametrize("when", ["before_ms", "after_ms"])
def test_killed_in_the_middle_of_a_slow_create(fakes: Stall, when: str) -> None:
    """The cloud has the call and has not answered: it made the machine already, or it never will."""
    cloud = fakes.market.cloud
    cloud.change(**{when: {Verb.CREATE.value: 1_500}})
    contract = fakes.rent().id
    fakes.agent.start()
    until("the create call is under way", lambda: cloud.calls(Verb.CREATE, contract))
    if when == "after_ms":
        until("the machine is there", lambda: cloud.machines(contract))
    fakes.agent.kill()
    cloud.change(**{when: {}})

    fakes.agent.start()
    convergence.settled(fakes.market, contract)
    convergence.ended(fakes.market, contract)
    fakes.agent.kill()


def test_killed_after_the_create_while_lists_lag(fakes: Stall) -> None:
    """A list that does not show the new machine yet is no reason to make another."""
    cloud = fakes.market.cloud
    cloud.change(list_lag_ms=1_200)
    contract = fakes.rent().id
    patient = AgentProgram(
        fakes.market.folder,
        msgspec.structs.replace(fakes.agent.settings, read_lag_ms=2_000),
        fakes.market.clock_file,
        fakes.agent.name,
    )
    patient.start(kill_at=steps.CREATE_ANSWERED)
    patient.wait_killed()

    patient.start()
    convergence.settled(fakes.market, contract)
    convergence.ended(fakes.market, contract)
    patient.kill()
    cloud.change(list_lag_ms=0)


@pytest.mark.parametrize("step", [steps.STOP_CALLED, steps.STOP_ANSWERED])
def test_killed_while_it_stops_a_machine(stall: Stall, step: str) -> None:
    market = stall.market
    contract = stall.rent().id
    stall.agent.start(kill_at=step)
    market.wait_state(contract, "active")
    market.pass_time(HOUR_MS + MINUTE_MS)
    market.wait_state(contract, "lapsed")
    stall.agent.wait_killed()

    stall.agent.start()
    until("the machine is stopped", lambda: market.running(contract) == 0)
    assert market.alive(contract) == market.made(contract) == 1
    market.tenant.cancel(contract)
    market.wait_gone(contract)


@pytest.mark.parametrize("step", [steps.START_CALLED, steps.START_MACHINE_ANSWERED])
def test_killed_while_it_starts_a_machine_again(stall: Stall, step: str) -> None:
    market = stall.market
    rented = stall.rent()
    contract = rented.id
    stall.agent.start(kill_at=step)
    market.wait_state(contract, "active")
    market.pass_time(HOUR_MS + MINUTE_MS)
    market.wait_state(contract, "lapsed")
    until("the machine is stopped", lambda: market.running(contract) == 0)
    market.wait_rentable(stall.offering)
    market.tenant.extend(rented, stall.offering, hours=1)
    stall.agent.wait_killed()

    stall.agent.start()
    market.wait_state(contract, "active")
    until("the machine runs again", lambda: market.running(contract) == 1)
    assert market.alive(contract) == market.made(contract) == 1
    market.tenant.cancel(contract)
    market.wait_gone(contract)
    market.check_books()

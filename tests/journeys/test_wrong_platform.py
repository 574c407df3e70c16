"""Invariant 12 with real programs: a platform that is empty or was rolled back costs nobody a machine."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.desired import ALARM_DISTRUST
from devtools.market import Market
from devtools.processes import AgentProgram, until
from tests.journeys import convergence

pytestmark = pytest.mark.journey


def test_a_rolled_back_platform_costs_no_machine(market: Market) -> None:
    """Later: the operator's word that a roll-back is meant."""
    agent = market.new_agent()
    agent.start()
    offering = market.offering()
    market.tenant.contracts("tenant")
    market.server.stop()
    before = market.folder / "before"
    shutil.copytree(market.data, before)
    market.server.start()
    contract = market.tenant.rent(offering).id
    convergence.settled(market, contract)

    market.server.stop()
    present = market.folder / "present"
    market.data.rename(present)
    shutil.copytree(before, market.data)
    market.server.start()
    _wait_for_alarm(market, agent)
    _look_for_a_while(agent)
    assert market.running(contract) == market.made(contract) == 1

    # With its own data back, the platform is obeyed again.
    market.server.stop()
    shutil.rmtree(market.data)
    present.rename(market.data)
    market.server.start()
    convergence.ended(market, contract)


def test_an_emptied_or_foreign_platform_costs_no_machine(market: Market) -> None:
    agent = market.new_agent()
    agent.start()
    contract = market.tenant.rent(market.offering()).id
    convergence.settled(market, contract)

    market.server.stop()
    present = market.folder / "present"
    market.data.rename(present)
    market.server.start()  # another key, nothing in its database
    _wait_for_alarm(market, agent)
    agent.kill()
    agent.start()
    _look_for_a_while(agent)
    assert market.running(contract) == market.made(contract) == 1

    market.server.stop()
    market.data.rename(Path(market.folder / "foreign"))
    present.rename(market.data)
    market.server.start()
    convergence.ended(market, contract)


def _wait_for_alarm(market: Market, agent: AgentProgram) -> None:
    def alarmed() -> bool:
        with closing(market.journal(agent)) as journal:
            return ALARM_DISTRUST in {each.name for each in journal.alarms()}

    until("the agent raises an alarm", alarmed)


def _look_for_a_while(agent: AgentProgram) -> None:
    seen = agent.steps().count(steps.DESIRED_ANSWERED)
    asked = agent.steps().count(steps.DESIRED_ASKED)
    until(
        "the agent has looked several times",
        lambda: (
            agent.steps().count(steps.DESIRED_ASKED) >= asked + 3
            or agent.steps().count(steps.DESIRED_ANSWERED) >= seen + 3
        ),
    )

"""What an agent keeps aside, at the command line: shown with its agent, decided by its provider."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cli.conftest import Desk
from tests.support.people import Shop

pytestmark = pytest.mark.slow

_numbers = itertools.count(10)


@dataclass(frozen=True, slots=True)
class Aside:
    """A machine that the shop's agent keeps aside, another one for each test."""

    agent: str
    contract: str
    machine: str


@pytest.fixture
def aside(shop: Shop) -> Aside:
    number = next(_numbers)
    one = Aside(
        shop.agent_keys.kid, f"c01m80000000000000000000{number}", f'fake:{{"id":"{number}"}}'
    )
    found: dict[str, Any] = {
        "contract": one.contract,
        "instance": one.machine,
        "reason": "no contract that we know of",
        "first_seen_at_ms": 1_700_000_000_000,
        "state": "running",
    }
    beat = {
        "version": "1.2",
        "driver": "fake",
        "scope": "fake:scope",
        "instances": 0,
        "alarms": [f"quarantine:{one.contract}"],
        "inventory": {"running": 1, "free": 3, "driver_version": "1", "host": "rack-7"},
        "asides": [found],
    }
    answer = shop.agent.post(f"/providers/{shop.owner.id}/heartbeat", beat)
    assert answer.status_code == 200, answer.text
    return one


def listed(provider: Desk, one: Aside) -> Any:
    found = provider.run("agents", "quarantine", "list")["items"]
    return next(each for each in found if each["instance"] == one.machine)


def test_a_machine_kept_aside_is_listed_and_told_with_its_agent(
    provider: Desk, aside: Aside
) -> None:
    item = listed(provider, aside)
    assert (item["contract"], item["agent"]) == (aside.contract, aside.agent)
    assert (item["state"], item["contract_state"]) == ("running", None)
    assert aside.contract in provider.show("agents", "quarantine", "list")
    shown = provider.show("agents", "show", aside.agent)
    assert "rack-7" in shown
    assert f"quarantine:{aside.contract}" in shown


def test_its_provider_has_it_deleted_and_takes_that_back(provider: Desk, aside: Aside) -> None:
    named = (aside.contract, "--machine", aside.machine)
    before = listed(provider, aside)["word"]
    assert before != "delete"
    asked = provider.refused(2, "agents", "quarantine", "delete", *named)
    assert "--yes" in asked["message"]  # nobody can answer here
    assert listed(provider, aside)["word"] == before
    provider.show("agents", "quarantine", "delete", *named, "--yes")
    assert listed(provider, aside)["word"] == "delete"
    provider.show("agents", "quarantine", "release", *named)
    assert listed(provider, aside)["word"] == "leave"


def test_a_machine_or_an_agent_that_is_not_there_is_named(provider: Desk, aside: Aside) -> None:
    line = ("agents", "quarantine", "delete", aside.contract, "--machine", "fake:none", "--yes")
    assert provider.refused(5, *line)["code"] == "not_found"
    assert provider.refused(5, "agents", "show", "A" * 22)["code"] == "not_found"

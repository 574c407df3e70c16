"""The agent rents out servers of Hetzner Cloud from order to end: the real platform, loop and driver, Hetzner's fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.records import Stage
from decent_cloud.agent.steps import OnStep, no_hook
from decent_cloud.drivers.contract import LABEL_CONTRACT, Driver, Secret
from decent_cloud.kernel.ids import ContractId
from tests.agent.rig import QUICK, Rig, eventually, rig_for, running
from tests.agent.tried import Tried
from tests.drivers.hetzner_rig import HetznerRig
from tests.support.clouds.hetzner import HetznerCloud, Record, refusal
from tests.support.clouds.server import serving_cloud
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop
from tests.support.platform import Platform
from tests.support.secrets import password

pytestmark = pytest.mark.slow


class HetznerAgent(Rig):
    """A provider's machine whose agent drives the fake; the cloud's clock goes on with every call."""

    project: HetznerRig

    def build(self, on_step: OnStep = no_hook) -> Agent:
        journal = self.journal()
        driver = Tried(self.project.driver(journal.fact(PLATFORM_ID)), self.project)
        parts = Parts(self.keys, journal, cast("Driver", driver), self.clock, on_step, QUICK)
        return Agent(self.settings(), parts)

    def platform_id(self) -> str:
        journal = self.journal()
        try:
            return journal.fact(PLATFORM_ID)
        finally:
            journal.close()

    def servers(self, contract: str) -> list[Record]:
        return self.project.cloud.carrying(LABEL_CONTRACT, contract)


@pytest.fixture
def agent(shop: Shop, platform: Platform, tmp_path: Path) -> Iterator[HetznerAgent]:
    plain = rig_for(shop, platform.url, tmp_path / "agent")
    with serving_cloud(HetznerCloud()) as cloud:
        project = HetznerRig(cloud, tmp_path)
        made = HetznerAgent(
            plain.url,
            plain.folder,
            plain.keys,
            plain.provider,
            plain.pool,
            plain.backend,
            ports=None,
        )
        made.project = project
        yield made
        project.close()


def offering(shop: Shop) -> dict[str, object]:
    return publish(shop, kind="vm", image="debian-12")


def test_a_rental_gets_a_server_with_its_address_and_leaves_none(
    agent: HetznerAgent, shop: Shop, tenant: Person
) -> None:
    with running(agent):
        id_ = rent(tenant, offering(shop))["id"]
        active = until(tenant, id_, "active")
        (server,) = agent.servers(id_)
        assert active["host"] == server["public_net"]["ipv4"]["ip"]
        assert active["port"] == 22
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        agent.reaches(id_, Stage.ENDED)
    assert agent.project.cloud.servers == {}


@pytest.mark.slow
def test_a_lost_answer_a_full_rate_and_a_lock_end_in_one_server_and_then_none(
    agent: HetznerAgent, shop: Shop, tenant: Person
) -> None:
    cloud = agent.project.cloud
    cloud.lose_answer("POST", "/servers$")
    cloud.fail("GET", "/servers$", refusal("rate_limit_exceeded", headers={"Retry-After": "1"}))
    cloud.fail("DELETE", r"/servers/\d+$", refusal("locked"))
    cloud.lose_answer("DELETE", r"/servers/\d+$")
    with running(agent):
        id_ = rent(tenant, offering(shop))["id"]
        until(tenant, id_, "active")
        assert len(agent.servers(id_)) == 1
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        agent.reaches(id_, Stage.ENDED, timeout_s=30)
    assert cloud.servers == {}
    assert len(cloud.asked("POST", "/servers$")) == 1


@pytest.mark.slow
def test_hetzners_new_password_reaches_the_tenant_and_the_old_one_is_dead(
    agent: HetznerAgent, shop: Shop, tenant: Person
) -> None:
    project = agent.project
    project.cloud.lose_answer("POST", "/actions/reset_password$")
    with running(agent):
        id_ = str(rent(tenant, offering(shop))["id"])
        until(tenant, id_, "active")
        agent.reaches(id_, Stage.BOUND)
        old = password(tenant, shop, id_)
        assert tenant.api.post(f"/contracts/{id_}/reset-password").status_code == 201
        eventually(lambda: last_reset(tenant, id_) == "verified", 30)
        new = password(tenant, shop, id_)
    (seen,) = project.driver(agent.platform_id()).list_owned(ContractId(id_))
    assert project.takes_password(seen, "root", Secret(new))
    assert not project.takes_password(seen, "root", Secret(old))
    assert list(project.cloud.passwords.values()) == [new]


def last_reset(tenant: Person, contract: str) -> str:
    return str(tenant.api.get(f"/contracts/{contract}/resets").json()["items"][-1]["state"])


def test_an_agent_that_ends_after_the_order_finds_its_server_again(
    agent: HetznerAgent, shop: Shop, tenant: Person
) -> None:
    agent.project.cloud.address_late_ms = 1_000_000  # until the second agent has seen it
    with running(agent):
        id_ = rent(tenant, offering(shop))["id"]
        eventually(lambda: agent.servers(id_))
    agent.project.cloud.address_late_ms = 0
    with running(agent):
        until(tenant, id_, "active")
    assert len(agent.servers(id_)) == 1
    assert len(agent.project.cloud.asked("POST", "/servers$")) == 1

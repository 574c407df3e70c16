"""The agent rents out machines of clouds without unique names from order to end: real platform and loop, judged fakes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.records import Stage
from decent_cloud.agent.steps import OnStep, no_hook
from decent_cloud.drivers.conformance.rig import Act, Fault
from decent_cloud.kernel.ids import ContractId
from tests.agent.rig import QUICK, Rig, eventually, rig_for, running
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.drivers.vultr_rig import VultrRig
from tests.support.clouds.digitalocean import DigitalOceanCloud
from tests.support.clouds.server import serving_cloud
from tests.support.clouds.vultr import VultrCloud
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

PROBE = "dc-probe"


@dataclass
class Account:
    """A vendor's account with all that a test of the whole agent asks of it."""

    rig: DigitalOceanRig | VultrRig

    def orders(self) -> int:
        """Count the orders, but not a probe's, which can only be refused."""
        asked = self.rig.cloud.asked(*self.rig.calls[Act.CREATE])
        return sum(call.body.get("name") != PROBE for call in asked)

    def fill_the_rate(self) -> None:
        """Refuse the next list, for as long as a driver waits by itself: no call, no tick of the fake's clock."""
        refusal = self.rig.refusals[Fault.RATE_LIMITED]
        self.rig.cloud.fail(
            *self.rig.calls[Act.LIST], replace(refusal, headers={"Retry-After": "1"})
        )

    def machines(self) -> int:
        cloud = self.rig.cloud
        return len(cloud.droplets if isinstance(cloud, DigitalOceanCloud) else cloud.instances)


class CloudAgent(Rig):
    """A provider's machine whose agent drives a fake; the cloud's clock goes on with every call."""

    account: Account

    def build(self, on_step: OnStep = no_hook) -> Agent:
        journal = self.journal()
        driver = self.account.rig.driver(journal.fact(PLATFORM_ID))
        parts = Parts(self.keys, journal, driver, self.clock, on_step, QUICK)
        return Agent(self.settings(), parts)


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Account]:
    """Serve a vendor's fake and open an account there."""
    rig: DigitalOceanRig | VultrRig
    if name == "digitalocean":
        with serving_cloud(DigitalOceanCloud()) as droplets:
            rig = DigitalOceanRig(droplets, folder)
            yield Account(rig)
            rig.close()
        return
    with serving_cloud(VultrCloud()) as instances:
        rig = VultrRig(instances, folder)
        yield Account(rig)
        rig.close()


@pytest.fixture(params=["digitalocean", "vultr"])
def agent(
    request: pytest.FixtureRequest, shop: Shop, platform: Platform, tmp_path: Path
) -> Iterator[CloudAgent]:
    plain = rig_for(shop, platform.url, tmp_path / "agent")
    made = CloudAgent(
        plain.url,
        plain.folder,
        plain.keys,
        plain.provider,
        plain.pool,
        plain.backend,
        ports=None,
    )
    with opened(request.param, tmp_path) as account:
        made.account = account
        yield made


def offering(shop: Shop) -> dict[str, object]:
    return publish(shop, kind="vm", image="debian-12", management_key=True)


def test_a_rental_gets_a_machine_with_its_address_and_leaves_none(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    with running(agent):
        id_ = rent(tenant, offering(shop))["id"]
        active = until(tenant, id_, "active")
        assert agent.account.rig.count(ContractId(id_)) == 1
        assert active["host"].startswith("203.0.113.")
        assert active["port"] == 22
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        agent.reaches(id_, Stage.ENDED)
    assert agent.account.machines() == 0


def test_lost_answers_and_a_full_rate_end_in_one_machine_and_then_none(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    rig = agent.account.rig
    with running(agent) as program:
        eventually(lambda: program.backend.scope)
        rig.inject(Act.CREATE, Fault.LOST)
        agent.account.fill_the_rate()
        rig.inject(Act.DESTROY, Fault.LOST)
        id_ = rent(tenant, offering(shop))["id"]
        until(tenant, id_, "active")
        assert rig.count(ContractId(id_)) == 1
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        agent.reaches(id_, Stage.ENDED, timeout_s=30)
    assert agent.account.machines() == 0
    assert agent.account.orders() == 1


def test_an_agent_that_ends_after_the_order_finds_its_machine_again(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    cloud = agent.account.rig.cloud
    cloud.address_late_ms = 1_000_000  # until the second agent has seen it
    with running(agent):
        id_ = rent(tenant, offering(shop))["id"]
        eventually(lambda: agent.account.rig.count(ContractId(id_)))
    cloud.address_late_ms = 0
    with running(agent):
        until(tenant, id_, "active")
    assert agent.account.rig.count(ContractId(id_)) == 1
    assert agent.account.orders() == 1


def test_a_twin_is_set_aside_and_the_tenants_machine_stays(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    """Whoever made the second: it is not taken for the rental's, and nobody deletes it unasked."""
    rig = agent.account.rig
    with running(agent):
        id_ = rent(tenant, offering(shop))["id"]
        active = until(tenant, id_, "active")
        twin(agent.account, id_)
        eventually(lambda: agent.journal().quarantined())
        assert tenant.api.get(f"/contracts/{id_}").json()["host"] == active["host"]
    assert rig.count(ContractId(id_)) == 2


def twin(account: Account, contract: str) -> None:
    """Put in a younger machine with the tags of a contract's."""
    cloud = account.rig.cloud
    if isinstance(cloud, DigitalOceanCloud):
        (first,) = cloud.droplets.values()
        cloud.put_in(first["name"], first["tags"])["created_at"] = cloud.clock.rfc3339()
        return
    (first,) = cloud.instances.values()
    cloud.put_in(first["label"], first["tags"])["date_created"] = cloud.clock.rfc3339()

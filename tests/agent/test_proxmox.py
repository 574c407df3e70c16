"""The agent rents out VMs of a Proxmox cluster from order to end: the real platform, loop and driver, a judged fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.records import Stage
from decent_cloud.agent.steps import OnStep, no_hook
from decent_cloud.drivers.contract import Driver
from decent_cloud.kernel.ids import ContractId
from tests.agent.rig import QUICK, Rig, eventually, rig_for, running
from tests.agent.test_crash import Killer, run_until_dead
from tests.agent.tried import Tried
from tests.drivers.proxmox_rig import LOCK, ProxmoxRig
from tests.support.clouds.proxmox import FakeProxmox, refusal
from tests.support.clouds.server import serving_cloud
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop
from tests.support.platform import Platform
from tests.support.secrets import password

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

CLONE = ("POST", r"/qemu/\d+/clone$")
SET_PASSWORD = ("POST", r"/agent/set-user-password$")


class ProxmoxAgent(Rig):
    """A provider's machine whose agent drives the fake; the cluster's clock goes on with every call."""

    cluster: ProxmoxRig

    def build(self, on_step: OnStep = no_hook) -> Agent:
        journal = self.journal()
        # Patient: a busy host is no fault of the cluster's.
        made = self.cluster.driver(journal.fact(PLATFORM_ID), timeout_s=10)
        driver = cast("Driver", Tried(made, self.cluster))
        parts = Parts(self.keys, journal, driver, self.clock, on_step, QUICK)
        return Agent(self.settings(), parts)

    def machines(self, contract: str) -> int:
        return self.cluster.count(ContractId(contract))

    def orders(self) -> int:
        return len(self.cluster.cloud.asked(*CLONE))

    def assert_nothing_left(self) -> None:
        """Only the template is there, and no first-start drive."""
        assert list(self.cluster.cloud.guests) == [9000]
        assert self.cluster.cloud.volumes == {}


@pytest.fixture
def agent(shop: Shop, platform: Platform, tmp_path: Path) -> Iterator[ProxmoxAgent]:
    plain = rig_for(shop, platform.url, tmp_path / "agent")
    with serving_cloud(FakeProxmox()) as cloud:
        cluster = ProxmoxRig(cloud, tmp_path)
        made = ProxmoxAgent(
            plain.url,
            plain.folder,
            plain.keys,
            plain.provider,
            plain.pool,
            plain.backend,
            ports=None,
        )
        made.cluster = cluster
        yield made
        cluster.close()


def offering(shop: Shop, **changes: Any) -> dict[str, object]:
    return publish(shop, kind="vm", image="debian-12", **{"disk_gib": 10, **changes})


def cancel(tenant: Person, contract: str) -> None:
    assert tenant.api.post(f"/contracts/{contract}/cancel", {"reason": ""}).is_success


def test_a_rental_gets_a_vm_with_its_address_and_leaves_none(
    agent: ProxmoxAgent, shop: Shop, tenant: Person
) -> None:
    with running(agent):
        id_ = str(rent(tenant, offering(shop))["id"])
        active = until(tenant, id_, "active", timeout_s=30)
        guest = agent.cluster.guest(id_)
        assert active["host"] == agent.cluster.cloud.address(guest)
        assert active["port"] == 22
        assert active["host_keys"] == [guest.host_key]
        cancel(tenant, id_)
        agent.reaches(id_, Stage.ENDED, timeout_s=30)
    agent.assert_nothing_left()


def test_lost_answers_a_lock_and_a_cluster_that_is_away_end_in_one_vm_and_then_none(
    agent: ProxmoxAgent, shop: Shop, tenant: Person
) -> None:
    cloud = agent.cluster.cloud
    with running(agent) as program:
        eventually(lambda: program.backend.scope)
        cloud.lose_answer(*CLONE)
        cloud.fail("POST", r"/upload$", refusal("Connection refused", 595))
        cloud.lose_answer("PUT", r"/qemu/\d+/config$")
        cloud.fail("DELETE", r"/qemu/\d+$", refusal(LOCK))
        cloud.lose_answer("DELETE", r"/qemu/\d+$", skip=1)
        id_ = str(rent(tenant, offering(shop))["id"])
        until(tenant, id_, "active", timeout_s=90)
        agent.reaches(id_, Stage.BOUND, timeout_s=30)
        assert agent.machines(id_) == 1
        cancel(tenant, id_)
        agent.reaches(id_, Stage.ENDED, timeout_s=90)
    agent.assert_nothing_left()
    assert agent.orders() == 1


@pytest.mark.parametrize(
    "step",
    [steps.LOOKUP_ANSWERED, steps.CREATE_CALLED, steps.CREATE_ANSWERED, steps.REPORT_ANSWERED],
)
def test_a_crash_while_making_leaves_one_vm(
    agent: ProxmoxAgent, shop: Shop, tenant: Person, step: str
) -> None:
    id_ = str(rent(tenant, offering(shop))["id"])
    run_until_dead(agent, Killer(step))
    with running(agent):
        until(tenant, id_, "active", timeout_s=60)
        agent.reaches(id_, Stage.BOUND, timeout_s=30)
        assert agent.machines(id_) == 1
        assert agent.orders() == 1
        cancel(tenant, id_)
        agent.reaches(id_, Stage.ENDED, timeout_s=60)
    agent.assert_nothing_left()


@pytest.mark.parametrize("step", [steps.DESTROY_CALLED, steps.DESTROY_ANSWERED])
def test_a_crash_while_removing_leaves_no_vm(
    agent: ProxmoxAgent, shop: Shop, tenant: Person, step: str
) -> None:
    with running(agent):
        id_ = str(rent(tenant, offering(shop))["id"])
        until(tenant, id_, "active", timeout_s=60)
        agent.reaches(id_, Stage.BOUND, timeout_s=30)
    cancel(tenant, id_)
    run_until_dead(agent, Killer(step))
    with running(agent):
        agent.reaches(id_, Stage.ENDED, timeout_s=60)
    agent.assert_nothing_left()


def test_the_guest_agents_new_password_reaches_the_tenant_and_the_old_one_is_dead(
    agent: ProxmoxAgent, shop: Shop, tenant: Person
) -> None:
    cluster = agent.cluster
    cluster.cloud.lose_answer(*SET_PASSWORD)
    with running(agent):
        id_ = str(rent(tenant, offering(shop))["id"])
        until(tenant, id_, "active", timeout_s=30)
        agent.reaches(id_, Stage.BOUND, timeout_s=30)
        old = password(tenant, shop, id_)
        assert cluster.cloud.lets_in(cluster.guest(id_), "root", old)
        assert tenant.api.post(f"/contracts/{id_}/reset-password").status_code == 201
        eventually(lambda: last_reset(tenant, id_) == "verified", 60)
        new = password(tenant, shop, id_)
    guest = cluster.guest(id_)
    assert cluster.cloud.lets_in(guest, "root", new)
    assert not cluster.cloud.lets_in(guest, "root", old)
    assert new not in str([each.body for each in cluster.cloud.asked(*SET_PASSWORD)])


def test_a_template_larger_than_the_offering_ends_the_rental_and_says_why(
    agent: ProxmoxAgent, shop: Shop, tenant: Person
) -> None:
    """It can never fit: the tenant is not kept waiting, and the half-made clone goes."""
    with running(agent):
        id_ = str(rent(tenant, offering(shop, disk_gib=1))["id"])
        ended = until(tenant, id_, "failed", timeout_s=30)
        agent.reaches(id_, Stage.ENDED, timeout_s=30)
        told = agent.instance(id_)
        assert told is not None
        assert "disk of 3 GiB, more than 1" in told.note
    assert ended["end_reason"] == "rejected"
    agent.assert_nothing_left()


def last_reset(tenant: Person, contract: str) -> str:
    return str(tenant.api.get(f"/contracts/{contract}/resets").json()["items"][-1]["state"])

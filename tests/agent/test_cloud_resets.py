"""Both ways to a new password on every cloud's fake, by a whole agent: a login with the new one opens, the old is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.management import own_key
from decent_cloud.agent.records import Stage
from decent_cloud.agent.steps import OnStep, no_hook
from decent_cloud.drivers.contract import Secret
from decent_cloud.drivers.parts.guest_ssh import Entry, GuestDoor, try_password
from tests.agent.housed import (
    DigitalOceanHouses,
    HetznerHouses,
    HousedDigitalOcean,
    HousedHetzner,
    HousedVultr,
    Street,
    VultrHouses,
)
from tests.agent.rig import QUICK, Rig, eventually, rig_for, running
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.drivers.hetzner_rig import HetznerRig
from tests.drivers.vultr_rig import VultrRig
from tests.support.clouds.digitalocean import DigitalOceanCloud
from tests.support.clouds.hetzner import HetznerCloud
from tests.support.clouds.server import serving_cloud
from tests.support.clouds.vultr import DEFAULT_PASSWORD, VultrCloud
from tests.support.guest import Guest, open_guests
from tests.support.kept import kept_in
from tests.support.key_lists import list_body, ssh_line
from tests.support.market import SSH_KEY, publish, rent, until
from tests.support.people import Person, Shop
from tests.support.platform import Platform
from tests.support.secrets import opened, password

pytestmark = pytest.mark.slow

LONG_S = 40
Driver: TypeAlias = HousedDigitalOcean | HousedVultr | HousedHetzner
Opened: TypeAlias = tuple[Callable[[str], Driver], Street]


class CloudAgent(Rig):
    """A provider's machine whose agent drives a fake with machines that answer."""

    driver_of: Callable[[str], Driver]
    street: Street

    def build(self, on_step: OnStep = no_hook) -> Agent:
        journal = self.journal()
        driver = self.driver_of(journal.fact(PLATFORM_ID))
        parts = Parts(self.keys, journal, driver, self.clock, on_step, QUICK)
        return Agent(self.settings(), parts)

    def guest(self) -> Guest:
        """Return the only machine."""
        (found,) = self.street.at.values()
        return found


@contextmanager
def digitalocean(folder: Path) -> Iterator[Opened]:
    with serving_cloud(DigitalOceanCloud()) as cloud, open_guests() as guests:
        rig = DigitalOceanRig(cloud, folder)
        street = Street(DigitalOceanHouses(rig), guests, folder / "guests")

        def driver(platform: str) -> Driver:
            made = HousedDigitalOcean(rig.driver_settings(), platform, cloud.clock, rig.wait)
            made.street = street
            return made

        yield driver, street


@contextmanager
def vultr(folder: Path) -> Iterator[Opened]:
    with serving_cloud(VultrCloud()) as cloud, open_guests() as guests:
        rig = VultrRig(cloud, folder)
        street = Street(VultrHouses(rig), guests, folder / "guests")

        def driver(platform: str) -> Driver:
            made = HousedVultr(rig.driver_settings(), platform, cloud.clock, rig.wait)
            made.street = street
            return made

        yield driver, street


@contextmanager
def hetzner(folder: Path, *, guest_agent: bool = False) -> Iterator[Opened]:
    with serving_cloud(HetznerCloud()) as cloud, open_guests() as guests:
        cloud.guest_agent = guest_agent
        rig = HetznerRig(cloud, folder)
        street = Street(HetznerHouses(rig), guests, folder / "guests")

        def driver(platform: str) -> Driver:
            made = HousedHetzner(rig.driver_settings(), platform, cloud.clock, rig.wait)
            made.street = street
            return made

        yield driver, street


CLOUDS = {"digitalocean": digitalocean, "vultr": vultr, "hetzner": hetzner}


@pytest.fixture
def plain(shop: Shop, platform: Platform, tmp_path: Path) -> CloudAgent:
    made = rig_for(shop, platform.url, tmp_path / "agent")
    return CloudAgent(
        made.url, made.folder, made.keys, made.provider, made.pool, made.backend, ports=None
    )


@pytest.fixture(params=CLOUDS)
def agent(
    request: pytest.FixtureRequest, plain: CloudAgent, tmp_path: Path
) -> Iterator[CloudAgent]:
    with CLOUDS[request.param](tmp_path) as (plain.driver_of, plain.street):
        yield plain


def active(
    agent: CloudAgent, shop: Shop, tenant: Person, user: str = "root", **changes: object
) -> str:
    wanted = {"management_key": True, "settings": {"user": user}, **changes}
    offering = publish(shop, kind="vm", image="debian-12", **wanted)
    id_ = str(rent(tenant, offering)["id"])
    until(tenant, id_, "active", timeout_s=LONG_S)
    agent.reaches(id_, Stage.BOUND, timeout_s=LONG_S)
    return id_


def ended(tenant: Person, contract: str) -> str:
    """Wait until the newest reset is over; return how."""

    def look() -> str | None:
        newest = tenant.api.get(f"/contracts/{contract}/resets").json()["items"][-1]
        over = newest["state"] not in {"requested", "claimed", "applied"}
        return str(newest["state"]) if over else None

    return eventually(look, LONG_S)


def login(tenant: Person, shop: Shop, contract: str, secret: str) -> Entry:
    """Log in as the tenant does, with the address and the host key of its newest credential."""
    access = opened(tenant, shop, contract).access
    door = GuestDoor(access.host, access.port, access.host_keys[0])
    return try_password(door, access.user, Secret(secret))


@pytest.mark.parametrize("user", ["root", "ada"])
def test_a_tenant_and_then_its_provider_get_a_new_password(
    agent: CloudAgent, shop: Shop, tenant: Person, platform: Platform, user: str
) -> None:
    with running(agent) as program:
        id_ = active(agent, shop, tenant, user)
        used = [password(tenant, shop, id_)]
        assert login(tenant, shop, id_, used[0]) is Entry.OPEN
        assert tenant.api.post(f"/contracts/{id_}/reset-password").status_code == 201
        assert ended(tenant, id_) == "verified"
        used.append(password(tenant, shop, id_))
        assert login(tenant, shop, id_, used[1]) is Entry.OPEN
        eventually(lambda: _idle(agent, id_), LONG_S)
        body = {"outcome": "claimed", "scope": program.backend.scope}
        begun = shop.agent.put(f"/provider/rental-requests/{id_}/password", body)
        assert begun.status_code == 200, begun.text
        eventually(lambda: opened(tenant, shop, id_).subject.number == 3, LONG_S)
        assert ended(tenant, id_) == "verified"
        used.append(password(tenant, shop, id_))
        assert login(tenant, shop, id_, used[2]) is Entry.OPEN
        for old in used[:2]:
            assert login(tenant, shop, id_, old) is Entry.REFUSED
    kept = kept_in(agent.folder) + kept_in(Path(platform.server.settings.data))
    assert [secret for secret in used if secret.encode() in kept] == []


@pytest.mark.parametrize("user", ["root", "ada"])
def test_a_tenants_new_keys_take_the_place_of_the_old_ones(
    agent: CloudAgent, shop: Shop, tenant: Person, user: str
) -> None:
    with running(agent):
        id_ = active(agent, shop, tenant, user)
        guest, ours = agent.guest(), own_key(str(agent.folder)).line()
        assert guest.takes_key(user, SSH_KEY)
        digest = tenant.api.get(f"/contracts/{id_}").json()["digest"]
        body = list_body(tenant, digest, 1, ssh_line(1), ssh_line(2))
        assert tenant.api.post(f"/contracts/{id_}/ssh-keys", body).status_code == 201
        assert ended(tenant, id_) == "verified"
        assert guest.keys(user) == [ssh_line(1), ssh_line(2), ours]


def test_without_a_management_key_no_cloud_can_replace_keys(
    plain: CloudAgent, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    with vultr(tmp_path) as (plain.driver_of, plain.street), running(plain):
        id_ = active(plain, shop, tenant, management_key=False)
        digest = tenant.api.get(f"/contracts/{id_}").json()["digest"]
        body = list_body(tenant, digest, 1, ssh_line(1))
        assert tenant.api.post(f"/contracts/{id_}/ssh-keys", body).status_code == 201
        assert ended(tenant, id_) == "failed"
        assert plain.guest().takes_key("root", SSH_KEY)


def _idle(agent: CloudAgent, contract: str) -> bool:
    found = agent.instance(contract)
    return found is not None and found.reset is None and found.reset_done != ""


def test_no_vendors_password_and_no_key_but_the_tenants_and_the_agents_opens_a_machine(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    with running(agent):
        id_ = active(agent, shop, tenant)
        guest = agent.guest()
        assert guest.lets_in("root", password(tenant, shop, id_))
        assert not guest.lets_in("root", DEFAULT_PASSWORD)
        *tenants, ours = guest.keys("root")
        assert ours.split()[:2] == own_key(str(agent.folder)).line().split()[:2]
        assert len(tenants) == 1


def test_root_is_locked_where_the_tenant_is_somebody_else(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    with running(agent):
        id_ = active(agent, shop, tenant, "ada")
        assert agent.guest().lets_in("ada", password(tenant, shop, id_))
        assert not agent.guest().lets_in("root", DEFAULT_PASSWORD)


def test_without_a_management_key_hetzners_refusal_ends_the_reset(
    plain: CloudAgent, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    with hetzner(tmp_path) as (plain.driver_of, plain.street), running(plain):
        id_ = active(plain, shop, tenant, management_key=False)
        before = password(tenant, shop, id_)
        assert tenant.api.post(f"/contracts/{id_}/reset-password").status_code == 201
        assert ended(tenant, id_) == "failed"
        assert login(tenant, shop, id_, before) is Entry.OPEN


def test_a_tenant_who_removed_the_management_key_keeps_its_password(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    with running(agent):
        id_ = active(agent, shop, tenant)
        before = password(tenant, shop, id_)
        agent.guest().remove_key("root", own_key(str(agent.folder)).line())
        assert tenant.api.post(f"/contracts/{id_}/reset-password").status_code == 201
        assert ended(tenant, id_) == "failed"
        assert login(tenant, shop, id_, before) is Entry.OPEN

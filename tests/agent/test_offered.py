"""A whole agent compares what its pool offers with a cloud's catalogue, and what it says closes and opens it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from decent_cloud.agent import offered
from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.steps import OnStep, no_hook
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.drivers.contract import CanCheckPlan
from decent_cloud.kernel.ids import AccountId
from decent_cloud.programs.agent import cli
from tests.agent.rig import QUICK, Rig, eventually, rig_for, running
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.support.clouds.digitalocean import TOKEN, DigitalOceanCloud, refusal
from tests.support.clouds.server import serving_cloud
from tests.support.market import order_body, order_for, publish
from tests.support.people import ALL_PERMISSIONS, Person, Shop, delegate
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

FITTING = {"kind": "vm", "image": "debian-12", "management_key": True}


class CloudAgent(Rig):
    """A provider's machine whose agent drives the fake of a cloud."""

    account: DigitalOceanRig

    def build(self, on_step: OnStep = no_hook) -> Agent:
        journal = self.journal()
        driver = self.account.driver(journal.fact(PLATFORM_ID))
        parts = Parts(self.keys, journal, driver, self.clock, on_step, QUICK)
        return Agent(self.settings(), parts)


@pytest.fixture
def agent(shop: Shop, platform: Platform, tmp_path: Path) -> Iterator[CloudAgent]:
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
    with serving_cloud(DigitalOceanCloud()) as cloud:
        made.account = DigitalOceanRig(cloud, tmp_path)
        yield made
        made.account.close()


def seen(person: Person, offering: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = person.api.get(f"/offerings/{offering['id']}").json()
    return found


def problems(found: dict[str, Any]) -> list[str]:
    return [one["detail"] for check in found["plan_checks"] for one in check["problems"]]


def test_what_is_sold_out_is_closed_until_there_is_stock_again(
    agent: CloudAgent, shop: Shop, tenant: Person
) -> None:
    cloud = agent.account.cloud
    with running(agent) as program:
        offering = publish(shop, **FITTING)
        eventually(lambda: seen(shop.owner, offering)["plan"] == "fits", 30)
        stock = (
            [list(each["sizes"]) for each in cloud.regions],
            [list(each["regions"]) for each in cloud.sizes],
        )
        cloud.sell_out()
        agent.account.wait(60)  # what was read before is too old then
        program.offered.look(everything=True)
        eventually(lambda: seen(shop.owner, offering)["plan"] == "fails", 30)
        assert "sold out" in problems(seen(shop.owner, offering))[0]
        closed = seen(tenant, offering)
        assert (closed["rentable"], closed["not_rentable_because"]) == (False, "plan_fails")
        assert closed["plan_checks"] is None
        order = order_body(order_for(tenant, offering), tenant.keys)
        refused = tenant.api.post("/contracts", order)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_rentable")
        for each, sizes in zip(cloud.regions, stock[0], strict=True):
            each["sizes"] = sizes
        for each, regions in zip(cloud.sizes, stock[1], strict=True):
            each["regions"] = regions
        agent.account.wait(60)  # what was read before is too old then
        program.offered.look(everything=True)
        eventually(lambda: seen(tenant, offering)["rentable"], 30)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": "plan9"}, "'plan9' is not in the driver's settings"),
        ({"settings": {"size": "s-9"}}, "no size 's-9'"),
        ({"settings": {"region": "moon1"}}, "no region 'moon1'"),
        ({"management_key": False}, "the terms allow no management key"),
    ],
)
def test_what_does_not_fit_is_found_when_it_is_published(
    agent: CloudAgent, shop: Shop, changes: dict[str, object], said: str
) -> None:
    with running(agent):
        offering = publish(shop, **{**FITTING, **changes})
        eventually(lambda: seen(shop.owner, offering)["plan"] == "fails", 30)
        found = seen(shop.owner, offering)
    (detail,) = problems(found)
    assert said in detail
    (check,) = found["plan_checks"]
    assert check["agent"] == shop.agent_keys.kid
    assert all(one["cure"] for one in check["problems"])


def test_a_vendor_that_cannot_be_asked_closes_nothing(agent: CloudAgent, shop: Shop) -> None:
    agent.account.cloud.fail("GET", "/v2/sizes$", refusal("server_error"), times=1_000)
    with running(agent):
        offering = publish(shop, **FITTING)
        eventually(lambda: agent.account.cloud.asked("GET", "/v2/sizes$"), 30)
        found = seen(shop.owner, offering)
    assert found["rentable"]
    assert found["plan_checks"] == []


def test_a_driver_without_a_catalogue_is_asked_for_its_promises_only(
    shop: Shop, platform: Platform, tmp_path: Path
) -> None:
    rig = rig_for(shop, platform.url, tmp_path / "agent")
    assert not isinstance(rig.driver("p"), CanCheckPlan)
    with running(rig):
        offering = publish(shop)
        eventually(lambda: seen(shop.owner, offering)["plan"] == "fits", 30)


def test_every_page_of_what_is_offered_is_read(
    shop: Shop, platform: Platform, tmp_path: Path
) -> None:
    made = {publish(shop, title=f"Machine {number}")["id"] for number in range(3)}
    auth = DeviceAuth(AccountId(shop.owner.id), shop.agent_keys)
    with Transport(platform.url, auth, limits=QUICK) as line:
        api = AgentApi(line)
        everything = offered.all_offered(api, page_size=2)
        assert {each.offering for each in everything} == made


def doctor(path: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    found = CliRunner().invoke(cli, ["--config", str(path), "doctor", "--json", *words])
    return found.exit_code, {one["name"]: one for one in json.loads(found.stdout)["checks"]}


def test_doctor_compares_every_offering_of_the_pool_with_the_catalogue(
    agent: CloudAgent, shop: Shop
) -> None:
    agent.journal().close()
    with_own_key(shop, agent.folder / "device.key")
    rig = agent.account
    token = agent.folder / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    settings = {
        **rig.usual_settings(),
        "token_file": str(token),
        "images": {"debian-12": "debian-12-x64", "old": "old-linux-x64"},
    }
    path = agent.folder / "agent.toml"
    lines = [
        f"platform = {json.dumps(agent.url)}",
        f"data_dir = {json.dumps(str(agent.folder))}",
        'driver = "digitalocean"',
        "[driver_settings]",
        *(f"{name} = {_toml(value)}" for name, value in settings.items()),
    ]
    path.write_text("\n".join(lines))
    good = publish(shop, **FITTING)["id"]
    code, checks = doctor(path, "--verify-api")
    assert checks[f"offering {good} plan"]["passed"], checks
    assert checks[f"offering {good} reset"]["passed"]
    gone = publish(shop, **{**FITTING, "image": "old"})["id"]
    code, checks = doctor(path, "--verify-api")
    assert code == 1
    found = checks[f"offering {gone} plan"]
    assert not found["passed"]
    assert "retired" in found["detail"]
    assert found["cure"]
    assert checks[f"offering {good} plan"]["passed"]
    _, plain = doctor(path)
    assert not [name for name in plain if name.startswith("offering")]


def with_own_key(shop: Shop, file: Path) -> None:
    """Take an agent into the shop whose key lies in a file."""
    seed = secrets.token_bytes(32)
    shop.agent_keys = DeviceKeys(seed)
    added = shop.owner.add_device(shop.agent_keys, DeviceType.AGENT, Rank.READER)
    assert added.status_code == 201, added.text
    assert delegate(shop, ALL_PERMISSIONS).status_code == 201
    shop.agent = shop.owner.api_of(shop.agent_keys)
    file.touch(0o600)
    file.write_text(seed.hex() + "\n")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return "{ " + inner + " }"
    return json.dumps(value)

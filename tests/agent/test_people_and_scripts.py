"""From order to end with people, and with a script, as the backend: the real platform, loop and drivers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.records import Stage
from decent_cloud.agent.steps import OnStep, no_hook
from decent_cloud.drivers.contract import Driver
from decent_cloud.drivers.manual.driver import ManualDriver
from decent_cloud.drivers.manual.requests import Requests, Step
from decent_cloud.drivers.script.driver import ScriptDriver
from decent_cloud.kernel.clock import SystemClock
from tests.agent.rig import QUICK, Rig, eventually, rig_for, running
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "docs/drivers/script/example.py"
Build = Callable[[str], Driver]


class OtherRig(Rig):
    """An agent with another driver."""

    maker: Build

    def build(self, on_step: OnStep = no_hook) -> Agent:
        journal = self.journal()
        driver = self.maker(journal.fact(PLATFORM_ID))
        return Agent(self.settings(), Parts(self.keys, journal, driver, self.clock, on_step, QUICK))


def rig_with(shop: Shop, platform: Platform, folder: Path, maker: Build) -> OtherRig:
    plain = rig_for(shop, platform.url, folder)
    made = OtherRig(
        plain.url, plain.folder, plain.keys, plain.provider, plain.pool, plain.backend, ports=None
    )
    made.maker = maker
    return made


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests(tmp_path / "requests.db", SystemClock())


@pytest.fixture
def office(shop: Shop, platform: Platform, tmp_path: Path, requests: Requests) -> OtherRig:
    def driver(platform_id: str) -> Driver:
        return ManualDriver.from_settings({"path": str(requests.path)}, platform_id)

    return rig_with(shop, platform, tmp_path / "agent", driver)


def asked(requests: Requests, contract: str, step: Step) -> bool:
    return any(each.contract == contract and each.step is step for each in requests.all())


def test_people_make_a_machine_and_remove_it(
    office: OtherRig, requests: Requests, shop: Shop, tenant: Person
) -> None:
    offering = publish(shop, reset=False)
    with running(office):
        id_ = rent(tenant, offering)["id"]
        eventually(lambda: asked(requests, id_, Step.ASKED))
        host_key = requests.newest(id_).host_key
    # The agent comes back with nothing in memory; whoever makes the machine takes a while.
    with running(office):
        requests.complete(id_, "127.0.0.1", 2_222, host_key)
        active = until(tenant, id_, "active")
        assert (active["host"], active["port"], active["host_keys"]) == (
            "127.0.0.1",
            2_222,
            [host_key],
        )
        office.reaches(id_, Stage.BOUND)
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": "done"}).is_success
        eventually(lambda: asked(requests, id_, Step.REMOVAL_ASKED))
        assert office.stage(id_) is not Stage.ENDED
        requests.gone(id_)
        office.reaches(id_, Stage.ENDED)
    assert len(requests.all()) == 1


def test_what_people_cannot_make_is_refunded_with_their_reason(
    office: OtherRig, requests: Requests, shop: Shop, tenant: Person
) -> None:
    offering = publish(shop, reset=False)
    with running(office):
        id_ = rent(tenant, offering)["id"]
        eventually(lambda: asked(requests, id_, Step.ASKED))
        requests.fail(id_, "the board did not arrive")
        until(tenant, id_, "failed")
        office.reaches(id_, Stage.ENDED)
    history = json.dumps(tenant.api.get(f"/contracts/{id_}/history").json())
    assert "the board did not arrive" in history


def test_a_script_makes_a_machine_and_removes_it(
    shop: Shop, platform: Platform, tenant: Person, tmp_path: Path
) -> None:
    cloud = tmp_path / "cloud"

    def driver(platform_id: str) -> Driver:
        config = {"folder": str(cloud), "images": ["debian-12"]}
        command = [sys.executable, "-IS", str(EXAMPLE)]
        return ScriptDriver.from_settings({"command": command, "config": config}, platform_id)

    offering = publish(shop, kind="vm", image="debian-12")
    rig = rig_with(shop, platform, tmp_path / "agent", driver)
    with running(rig):
        id_ = rent(tenant, offering)["id"]
        until(tenant, id_, "active")
        (file,) = cloud.glob("*.json")
        assert json.loads(file.read_text())["contract"] == id_
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": "done"}).is_success
        eventually(lambda: not list(cloud.glob("*.json")))
        rig.reaches(id_, Stage.ENDED)

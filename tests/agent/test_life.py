"""From order to end against the real platform: one machine, a credential its tenant can open, then none."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.agent.daemon import Agent
from decent_cloud.agent.heartbeat import ALARM_DRIVER
from decent_cloud.agent.records import Stage
from decent_cloud.app import steps, suspensions
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.suspensions import Stand
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.keys.credentials import Expected, open_credential, sealed_from_json
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Verb
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.ids import ContractId, Digest
from decent_cloud.kernel.status import Desired
from tests.agent.rig import Rig, eventually, rig_for, running
from tests.support.market import publish, rent, until
from tests.support.people import ALL_PERMISSIONS, Person, Shop, delegate, new_shop
from tests.support.platform import Platform

pytestmark = pytest.mark.slow


def test_a_rental_is_made_handed_over_and_removed(rig: Rig, shop: Shop, tenant: Person) -> None:
    offering = publish(shop)
    with running(rig):
        contract = rent(tenant, offering)
        id_ = contract["id"]
        active = until(tenant, id_, "active")
        assert len(rig.backend.machines(id_)) == 1
        machine = rig.backend.machines(id_)[0]
        assert (active["host"], active["port"]) == ("127.0.0.1", machine.port)
        assert active["host_keys"] == [machine.host_key]

        view = tenant.api.get(f"/contracts/{id_}/credential").json()
        opened = open_credential(
            sealed_from_json(view["credential"]),
            tenant.seed,
            Expected(
                tenant.id, Digest(contract["digest"]), shop.owner.chain, [shop.agent_keys.kid]
            ),
        )
        assert opened.access.host == "127.0.0.1"
        assert opened.access.port == machine.port
        assert opened.access.host_keys == (machine.host_key,)

        rig.reaches(id_, Stage.BOUND)
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": "done"}).is_success
        eventually(lambda: not rig.backend.machines(id_))
        rig.reaches(id_, Stage.ENDED)
        assert rig.agent is not None
        assert rig.agent.work.journal.reports() == ()
        assert rig.agent.work.journal.ports() == {}


def test_the_provider_sees_its_agent_at_work(rig: Rig, shop: Shop, tenant: Person) -> None:
    rig.changed["heartbeat_s"] = 1
    offering = publish(shop)
    with running(rig) as agent:
        id_ = rent(tenant, offering)["id"]
        until(tenant, id_, "active")
        agent.work.alarm("test", "something to look at")

        def seen() -> dict[str, Any] | None:
            rows = shop.owner.api.get(f"/providers/{shop.owner.id}/agent-status").json()["items"]
            mine: dict[str, Any] = next(r for r in rows if r["agent"] == shop.agent_keys.kid)
            return mine if mine["instances"] == 1 and mine["alarms"] else None

        shown = eventually(seen)
        assert (shown["status"], shown["driver"]) == ("online", "fake")
        assert shown["scope"] == rig.backend.scope()
        assert shown["alarms"] == ["test: something to look at"]


def test_an_ended_agent_goes_on_where_it_stood(rig: Rig, shop: Shop, tenant: Person) -> None:
    offering = publish(shop)
    with running(rig):
        first = rent(tenant, offering)["id"]
        until(tenant, first, "active")
        rig.reaches(first, Stage.BOUND)
    second = rent(tenant, offering)["id"]
    assert tenant.api.post(f"/contracts/{first}/cancel", {"reason": ""}).is_success
    with running(rig):
        until(tenant, second, "active")
        rig.reaches(first, Stage.ENDED)
        assert [each.contract for each in rig.backend.machines()] == [second]
        assert len(rig.backend.calls(Verb.CREATE, first)) == 1


def test_a_suspended_rental_stands_still_and_runs_again(
    rig: Rig, shop: Shop, tenant: Person, platform: Platform
) -> None:
    def move(contract: str, event: ContractEvent) -> None:
        _move(platform, contract, event)

    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        move(id_, ContractEvent.SUSPENDED)
        eventually(lambda: rig.backend.machines(id_)[0].stopped)
        move(id_, ContractEvent.RESUMED)
        eventually(lambda: not rig.backend.machines(id_)[0].stopped)
        assert rig.backend.calls(Verb.DESTROY) == ()
        assert len(rig.backend.calls(Verb.CREATE, id_)) == 1


def test_a_suspended_machine_that_cannot_be_stopped_runs_until_the_platform_ends_it(
    shop: Shop, tenant: Person, platform: Platform, tmp_path: Path
) -> None:
    plain = rig_for(shop, platform.url, tmp_path / "agent")
    rig = UnstoppableRig(**{each.name: getattr(plain, each.name) for each in fields(plain)})
    rig.changed["heartbeat_s"] = 1
    with running(rig) as agent:
        assert not agent.backend.can_stop
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        _move(platform, id_, ContractEvent.SUSPENDED)
        eventually(lambda: _wanted(agent, id_) is Desired.STOPPED)
        found = rig.instance(id_)
        assert found is not None
        assert (found.stage, found.tries, found.last_error) == (Stage.BOUND, 0, "")
        assert not rig.backend.machines(id_)[0].stopped

        def stands() -> Stand:
            return platform.read(lambda uow: suspensions.stand(uow, *_suspension(uow, id_)))

        eventually(lambda: stands() is Stand.RUNS)  # once a heartbeat names the backend
        platform.write(lambda uow: suspensions.end(uow, *_suspension(uow, id_)))
        eventually(lambda: not rig.backend.machines(id_))
        rig.reaches(id_, Stage.ENDED)


class Unstoppable:
    """The fake driver without its abilities."""

    def __init__(self, driver: FakeDriver) -> None:
        self.describe, self.probe, self.scope = driver.describe, driver.probe, driver.scope
        self.create, self.inspect, self.destroy = driver.create, driver.inspect, driver.destroy
        self.list_owned, self.close = driver.list_owned, driver.close


class UnstoppableRig(Rig):
    """A provider whose backend can make and remove machines, and no more."""

    def driver(self, platform_id: str) -> Unstoppable:  # type: ignore[override]
        return Unstoppable(super().driver(platform_id))


def _move(platform: Platform, contract: str, event: ContractEvent) -> None:
    now_ms = SystemClock().now_ms()

    def step(uow: UnitOfWork) -> None:
        found = uow.contracts.get(ContractId(contract))
        assert found is not None
        steps.advance(uow, found, event, actor="operator", now_ms=now_ms)

    platform.write(step)


def _suspension(uow: UnitOfWork, contract: str) -> tuple[ContractId, int, int]:
    found = uow.contracts.get(ContractId(contract))
    assert found is not None
    return found.id, found.state_since_ms, SystemClock().now_ms()


def _wanted(agent: Agent, contract: str) -> Desired | None:
    want = agent.desired.want(ContractId(contract))
    return want.desired if want else None


def test_an_agent_with_another_driver_than_its_pools_says_what_to_do(
    platform: Platform, tmp_path: Path
) -> None:
    shop = new_shop(platform.url, driver="docker")
    rig = rig_for(shop, platform.url, tmp_path / "agent")
    rig.changed["heartbeat_s"] = 1
    with running(rig) as agent:

        def alarm() -> str:
            return next((a.text for a in agent.work.journal.alarms() if a.name == ALARM_DRIVER), "")

        assert 'set driver = "docker" in its settings, or register it' in eventually(alarm)
        assert _status(shop)["status"] == "offline"
        shop.pool = shop.owner.api.post("/pools", {"name": "second", "driver": "fake"}).json()["id"]
        path = f"/providers/{shop.owner.id}/agent-delegations"
        last = shop.owner.api.get(path).json()["items"][0]["digest"]
        assert delegate(shop, ALL_PERMISSIONS, prev=last).status_code == 201
        eventually(lambda: not alarm())
        assert _status(shop)["status"] == "online"


def _status(shop: Shop) -> dict[str, Any]:
    found = shop.owner.api.get(f"/providers/{shop.owner.id}/agent-status").json()
    (shown,) = found["items"]
    return dict(shown)

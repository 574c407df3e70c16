"""Two agents of one pool share the work: one machine a contract, and the loser goes on with other work."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from decent_cloud.agent.records import Stage
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.kernel.ids import ContractId
from tests.agent.rig import Rig, eventually, rig_for, running
from tests.support.market import publish, rent, until
from tests.support.people import ALL_PERMISSIONS, Person, Shop, delegate, new_keys
from tests.support.platform import Platform

pytestmark = pytest.mark.slow


def second_agent(shop: Shop) -> Shop:
    """Add another agent to the shop's pool."""
    keys = new_keys()
    added = shop.owner.add_device(keys, DeviceType.AGENT, Rank.READER)
    assert added.status_code == 201, added.text
    other = Shop(shop.owner, shop.pool, keys, shop.owner.api_of(keys))
    assert delegate(other, ALL_PERMISSIONS).status_code == 201
    return other


def two_rigs(platform: Platform, shop: Shop, folder: Path, *, one_backend: bool) -> tuple[Rig, Rig]:
    first = rig_for(shop, platform.url, folder / "one")
    shared = first.backend if one_backend else FakeBackend(folder / "two.db")
    second = rig_for(second_agent(shop), platform.url, folder / "two", shared)
    second.ports = (22_000, 22_099)
    return first, second


def test_on_two_backends_each_contract_has_one_machine(
    platform: Platform, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    one, two = two_rigs(platform, shop, tmp_path, one_backend=False)
    with running(one), running(two):
        offering = publish(shop)
        contracts = [rent(tenant, offering)["id"] for _ in range(6)]
        for id_ in contracts:
            until(tenant, id_, "active", timeout_s=20)
            made = one.backend.machines(id_) + two.backend.machines(id_)
            assert len(made) == 1
        for id_ in contracts:
            assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        eventually(lambda: not one.backend.machines() and not two.backend.machines(), 20)


def test_on_one_backend_each_contract_has_one_machine(
    platform: Platform, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    one, two = two_rigs(platform, shop, tmp_path, one_backend=True)
    with running(one) as first, running(two) as second:
        offering = publish(shop)
        contracts = [rent(tenant, offering)["id"] for _ in range(4)]
        for id_ in contracts:
            until(tenant, id_, "active", timeout_s=20)
            assert len(one.backend.machines(id_)) == 1
        assert first.work.journal.quarantined() == ()
        assert second.work.journal.quarantined() == ()


def test_the_loser_of_a_lease_sets_aside_what_it_made_and_goes_on(
    platform: Platform, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    """The first agent stalls in its create; its lease is taken over by force of the database."""
    one, two = two_rigs(platform, shop, tmp_path, one_backend=True)
    one.backend.change(after_ms={"create": 1_500})
    offering = publish(shop)
    with running(one) as first:
        id_ = rent(tenant, offering)["id"]
        eventually(lambda: one.backend.machines(id_))
        _give_away(platform, id_, str(two.keys.kid))
        one.reaches(id_, Stage.QUARANTINED)
        assert first.work.journal.quarantined()[0].contract == id_
        # Not the tenant's, so it does not run; and not removed: nobody said so.
        eventually(lambda: one.backend.machines(id_)[0].stopped)
        one.backend.change(after_ms={})
        other = rent(tenant, offering)["id"]
        until(tenant, other, "active")
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        eventually(lambda: not one.backend.machines(id_))


def test_a_new_agent_removes_what_one_that_is_gone_has_left(
    platform: Platform, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    one, two = two_rigs(platform, shop, tmp_path, one_backend=True)
    with running(one):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        one.reaches(id_, Stage.BOUND)
    with running(two):
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        time.sleep(2.5)
        assert len(two.backend.machines(id_)) == 1
        platform.write(lambda uow: _age_lease(uow, id_))
        eventually(lambda: not two.backend.machines(id_))
        eventually(lambda: two.stage(id_) is Stage.ENDED)


def _age_lease(uow: UnitOfWork, contract: str) -> None:
    found = uow.assignments.get(ContractId(contract))
    assert found is not None
    uow.assignments.save(replace(found, lease_expires_ms=found.lease_expires_ms - 16 * 60_000))


def _give_away(platform: Platform, contract: str, kid: str) -> None:
    def move(uow: UnitOfWork) -> None:
        found = uow.assignments.get(ContractId(contract))
        assert found is not None
        uow.assignments.save(replace(found, holder=kid, fence=found.fence + 1))

    platform.write(move)

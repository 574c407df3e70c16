"""What machines received and sent reaches both sides of a contract, and nobody else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from decent_cloud.agent.records import Stage
from decent_cloud.drivers.contract import Handle, Rejected, Traffic, TryLater
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.kernel.ids import ContractId
from tests.agent.rig import Rig, eventually, rig_for, running
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop, new_person
from tests.support.platform import Platform

pytestmark = pytest.mark.slow

SINCE_MS = 1_700_000_000_000


class Metered(FakeDriver):
    """A fake cloud that counts ten bytes in and one out at each look; the first look fails."""

    looks = 0

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        self.looks += 1
        if self.looks == 1:
            raise TryLater("not now")
        return Traffic(10 * self.looks, self.looks, SINCE_MS)


class MeteredRig(Rig):
    def driver(self, platform_id: str) -> Metered:
        settings = {"path": str(self.backend.path), "first_port": 21_000, "last_port": 21_099}
        return Metered.from_settings(settings, platform_id)


def test_both_sides_see_what_a_machine_received_and_sent(
    platform: Platform, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    plain = rig_for(shop, platform.url, tmp_path / "agent")
    rig = MeteredRig(**{each.name: getattr(plain, each.name) for each in fields(plain)})
    rig.changed["meter_s"] = 1
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        path = f"/contracts/{id_}/traffic"
        until(tenant, id_, "active")
        never = {"contract": id_, "received_bytes": 0, "sent_bytes": 0, "since": None, "at": None}
        seen = tenant.api.get(path).json()
        assert seen == never or seen["sent_bytes"] > 0
        eventually(lambda: tenant.api.get(path).json()["sent_bytes"] > 2)
    seen = tenant.api.get(path).json()
    assert seen["received_bytes"] == 10 * seen["sent_bytes"]
    assert (seen["since"], seen["at"] > seen["since"]) == ("2023-11-14T22:13:20.000Z", True)
    assert shop.owner.api.get(path).json() == seen
    assert new_person(platform.url).api.get(path).status_code == 404


def test_a_driver_that_cannot_meter_tells_nothing(rig: Rig, shop: Shop, tenant: Person) -> None:
    rig.changed["meter_s"] = 1
    with running(rig) as agent:
        assert not agent.backend.can_meter
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        agent.meter.run(0.01)  # ends by itself
        with pytest.raises(Rejected):
            agent.backend.meter(Handle("fake", {"id": "1"}), ContractId(id_))
        assert tenant.api.get(f"/contracts/{id_}/traffic").json()["at"] is None

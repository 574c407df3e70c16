"""The DigitalOcean fake as a backend that the conformance kit can look at, spoil and clean."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from decent_cloud.drivers.conformance.rig import RETRY_AFTER_S, Act, Fault
from decent_cloud.drivers.contract import Observation
from decent_cloud.drivers.digitalocean.driver import DigitalOceanDriver
from decent_cloud.drivers.digitalocean.mapping import contract_tag
from decent_cloud.drivers.digitalocean.settings import read_settings
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.ids import ContractId
from tests.drivers.cloud_rig import CloudRig
from tests.support.clouds.digitalocean import TOKEN, DigitalOceanCloud, refusal

BUSY = refusal("unprocessable_entity", "Droplet already has a pending event.")


class DigitalOceanRig(CloudRig):
    calls = {
        Act.CREATE: ("POST", r"/droplets$"),
        Act.INSPECT: ("GET", r"/droplets/\d+$"),
        Act.LIST: ("GET", r"/droplets$"),
        Act.DESTROY: ("DELETE", r"/droplets/\d+$"),
        Act.STOP: ("POST", r"/actions$"),
        Act.START: ("POST", r"/actions$"),
    }
    refusals = {
        Fault.UNAVAILABLE: refusal("service_unavailable"),
        Fault.LOCKED: BUSY,
        Fault.DENIED: refusal("forbidden", "You are not authorized to perform this operation"),
        Fault.SOLD_OUT: refusal("unprocessable_entity", "Size is not available in this region."),
        Fault.RATE_LIMITED: refusal(
            "too_many_requests", headers={"Retry-After": str(RETRY_AFTER_S)}
        ),
    }
    token = TOKEN
    build = DigitalOceanDriver
    read = read_settings
    places = ("fra1", "ams3")

    def __init__(self, cloud: DigitalOceanCloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.cloud = cloud

    def usual_settings(self) -> dict[str, object]:
        return {
            "api": self.cloud.origin,
            "images": {"debian-12": "debian-12-x64"},
            "regions": list(self.places),
        }

    def driver(
        self, platform: str = "", token: str = TOKEN, **settings: object
    ) -> DigitalOceanDriver:
        return cast("DigitalOceanDriver", self.driver_with(token, platform, **settings))

    def slow(self, act: Act) -> None:
        if act is Act.CREATE:
            self.cloud.address_late_ms = 30 * SECOND_MS
        else:
            self.cloud.deletion_ms = 20 * SECOND_MS

    def sell_out(self) -> None:
        self.cloud.sell_out()

    def count(self, contract: ContractId) -> int:
        return len(self.cloud.carrying(contract_tag(contract)))

    def add_foreign(self, name: str) -> None:
        self.cloud.put_in(name)

    def has_foreign(self, name: str) -> bool:
        return any(
            each["name"] == name and not each["tags"] for each in self.cloud.droplets.values()
        )

    def vanish(self, contract: ContractId) -> None:
        for each in self.cloud.carrying(contract_tag(contract)):
            self.cloud.droplets.pop(each["id"])

    def first_start_data(self, seen: Observation) -> str:
        assert seen.handle is not None
        return self.cloud.user_data[int(seen.handle.data["id"])]

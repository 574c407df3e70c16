"""The Vultr fake as a backend that the conformance kit can look at, spoil and clean."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from decent_cloud.drivers.conformance.rig import RETRY_AFTER_S, Act, Fault
from decent_cloud.drivers.contract import Observation
from decent_cloud.drivers.vultr.driver import VultrDriver
from decent_cloud.drivers.vultr.mapping import contract_tag
from decent_cloud.drivers.vultr.settings import read_settings
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.ids import ContractId
from tests.drivers.cloud_rig import CloudRig
from tests.support.clouds.vultr import TOKEN, VultrCloud, refusal

INSTANCE = r"/instances/[-0-9a-f]{36}"


class VultrRig(CloudRig):
    calls = {
        Act.CREATE: ("POST", r"/instances$"),
        Act.INSPECT: ("GET", rf"{INSTANCE}$"),
        Act.LIST: ("GET", r"/instances$"),
        Act.DESTROY: ("DELETE", rf"{INSTANCE}$"),
        Act.STOP: ("POST", rf"{INSTANCE}/halt$"),
        Act.START: ("POST", rf"{INSTANCE}/start$"),
    }
    refusals = {
        Fault.UNAVAILABLE: refusal(503, "Service unavailable."),
        Fault.LOCKED: refusal(500, "Server is currently locked"),
        Fault.DENIED: refusal(403, "You are not allowed to perform that action."),
        Fault.SOLD_OUT: refusal(
            400, "Server add failed: This plan is not available in the selected location."
        ),
        Fault.RATE_LIMITED: refusal(
            429, "Rate limit exceeded.", {"Retry-After": str(RETRY_AFTER_S)}
        ),
    }
    token = TOKEN
    build = VultrDriver
    read = read_settings
    places = ("fra", "ams")

    def __init__(self, cloud: VultrCloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.cloud = cloud

    def usual_settings(self) -> dict[str, object]:
        return {
            "api": f"{self.cloud.origin}/v2",
            "images": {"debian-12": "Debian 12 x64 (bookworm)"},
            "regions": list(self.places),
        }

    def driver(self, platform: str = "", token: str = TOKEN, **settings: object) -> VultrDriver:
        return cast("VultrDriver", self.driver_with(token, platform, **settings))

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
            each["label"] == name and not each["tags"] for each in self.cloud.instances.values()
        )

    def vanish(self, contract: ContractId) -> None:
        for each in self.cloud.carrying(contract_tag(contract)):
            self.cloud.instances.pop(each["id"])

    def first_start_data(self, seen: Observation) -> str:
        assert seen.handle is not None
        return self.cloud.user_data[seen.handle.data["id"]]

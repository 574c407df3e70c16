"""The Hetzner fake as a backend that the conformance kit can look at, spoil and clean."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from decent_cloud.drivers.conformance.rig import RETRY_AFTER_S, Act, Fault, Power
from decent_cloud.drivers.contract import LABEL_CONTRACT, Observation, Secret
from decent_cloud.drivers.hetzner.driver import HetznerDriver
from decent_cloud.drivers.hetzner.settings import read_settings
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.ids import ContractId
from tests.drivers.cloud_rig import CloudRig
from tests.support.clouds.hetzner import TOKEN, HetznerCloud, refusal


class HetznerRig(CloudRig):
    powers = frozenset(Power)
    faults = CloudRig.faults | {(Act.RESET, Fault.LOST)}
    calls = {
        Act.CREATE: ("POST", r"/servers$"),
        Act.INSPECT: ("GET", r"/servers/\d+$"),
        Act.LIST: ("GET", r"/servers$"),
        Act.DESTROY: ("DELETE", r"/servers/\d+$"),
        Act.STOP: ("POST", r"/actions/shutdown$"),
        Act.START: ("POST", r"/actions/poweron$"),
        Act.RESET: ("POST", r"/actions/reset_password$"),
    }
    refusals = {
        Fault.UNAVAILABLE: refusal("unavailable"),
        Fault.LOCKED: refusal("locked", "server is locked"),
        Fault.DENIED: refusal("forbidden", "insufficient permissions"),
        Fault.SOLD_OUT: refusal("resource_unavailable", "error during placement"),
        Fault.RATE_LIMITED: refusal(
            "rate_limit_exceeded", headers={"Retry-After": str(RETRY_AFTER_S)}
        ),
    }
    token = TOKEN
    build = HetznerDriver
    read = read_settings
    places = ("nbg1", "fsn1")

    def __init__(self, cloud: HetznerCloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.cloud = cloud

    def usual_settings(self) -> dict[str, object]:
        return {
            "api": f"{self.cloud.origin}/v1",
            "images": {"debian-12": "debian-12"},
            "locations": list(self.places),
        }

    def driver(self, platform: str = "", token: str = TOKEN, **settings: object) -> HetznerDriver:
        return cast("HetznerDriver", self.driver_with(token, platform, **settings))

    def slow(self, act: Act) -> None:
        if act is Act.CREATE:
            self.cloud.address_late_ms = 30 * SECOND_MS
        else:
            self.cloud.deletion_ms = 20 * SECOND_MS

    def sell_out(self) -> None:
        self.cloud.sell_out()

    def count(self, contract: ContractId) -> int:
        return len(self.cloud.carrying(LABEL_CONTRACT, contract))

    def add_foreign(self, name: str) -> None:
        self.cloud.put_in(name)

    def has_foreign(self, name: str) -> bool:
        return any(
            each["name"] == name and not each["labels"] for each in self.cloud.servers.values()
        )

    def vanish(self, contract: ContractId) -> None:
        for each in self.cloud.carrying(LABEL_CONTRACT, contract):
            self.cloud.servers.pop(each["id"])

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        number = self._number(seen)
        if number in self.cloud.passwords:
            return user == "root" and self.cloud.passwords[number] == password.reveal()
        return super().takes_password(seen, user, password)

    def first_start_data(self, seen: Observation) -> str:
        return self.cloud.user_data[self._number(seen)]

    def _number(self, seen: Observation) -> int:
        assert seen.handle is not None
        return int(seen.handle.data["id"])

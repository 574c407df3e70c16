"""The Hetzner fake as a backend that the conformance kit can look at, spoil and clean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from decent_cloud.drivers.conformance.rig import RETRY_AFTER_S, Act, Fault, Power, Rig, every
from decent_cloud.drivers.contract import LABEL_CONTRACT, Observation, Secret
from decent_cloud.drivers.hetzner.driver import HetznerDriver
from decent_cloud.drivers.hetzner.settings import HetznerSettings, read_settings
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.ids import ContractId
from tests.support.clouds.hetzner import TOKEN, HetznerCloud, refusal
from tests.support.clouds.server import Answer

CALLS = {
    Act.CREATE: ("POST", r"/servers$"),
    Act.INSPECT: ("GET", r"/servers/\d+$"),
    Act.LIST: ("GET", r"/servers$"),
    Act.DESTROY: ("DELETE", r"/servers/\d+$"),
    Act.STOP: ("POST", r"/actions/shutdown$"),
    Act.START: ("POST", r"/actions/poweron$"),
    Act.RESET: ("POST", r"/actions/reset_password$"),
}
REFUSALS = {
    Fault.UNAVAILABLE: refusal("unavailable"),
    Fault.LOCKED: refusal("locked", "server is locked"),
    Fault.DENIED: refusal("forbidden", "insufficient permissions"),
    Fault.SOLD_OUT: refusal("resource_unavailable", "error during placement"),
    Fault.RATE_LIMITED: refusal("rate_limit_exceeded", headers={"Retry-After": str(RETRY_AFTER_S)}),
}
TIMEOUT_S = 0.4


class HetznerRig(Rig):
    platform = "5e" * 32  # as long as platforms' ids are: longer than a label may be
    image = "debian-12"
    cpu_milli = 2_000
    memory_mib = 4_096
    disk_gib = 40
    powers = frozenset(Power)
    faults = (
        every((Act.CREATE,), set(Fault) - {Fault.PARTIAL})
        | every(
            (Act.INSPECT, Act.LIST, Act.DESTROY),
            (
                Fault.RATE_LIMITED,
                Fault.UNAVAILABLE,
                Fault.TIMEOUT,
                Fault.LOCKED,
                Fault.DENIED,
                Fault.GARBLED,
            ),
        )
        | every((Act.DESTROY,), (Fault.LOST, Fault.SLOW))
        | every((Act.STOP,), (Fault.LOST, Fault.UNAVAILABLE, Fault.LOCKED))
        | {(Act.RESET, Fault.LOST), (Act.PLAN, Fault.SOLD_OUT)}
    )

    def __init__(self, cloud: HetznerCloud, folder: Path) -> None:
        self.cloud = cloud
        self._drivers: list[HetznerDriver] = []
        self._folder = folder

    def driver(self, platform: str = "", token: str = TOKEN, **settings: object) -> HetznerDriver:
        made = HetznerDriver(
            self.driver_settings(token, **settings), platform or self.platform, self.cloud.clock, self.wait
        )
        self._drivers.append(made)
        return made

    def driver_settings(self, token: str = TOKEN, **changed: object) -> HetznerSettings:
        path = self._folder / f"token-{token[:1]}"
        path.touch(0o600)
        path.write_text(f"{token}\n")
        wanted = {
            "token_file": str(path),
            "api": f"{self.cloud.origin}/v1",
            "images": {"debian-12": "debian-12"},
            "locations": ["nbg1", "fsn1"],
            "timeout_s": TIMEOUT_S,
            **changed,
        }
        return read_settings(wanted)

    def wait(self, seconds: float) -> None:
        self.cloud.clock.advance(round(seconds * SECOND_MS))

    def count(self, contract: ContractId) -> int:
        return len(self.cloud.carrying(LABEL_CONTRACT, contract))

    def inject(self, act: Act, fault: Fault) -> None:
        if act is Act.PLAN:
            self.cloud.sell_out()
            return
        method, path = CALLS[act]
        if fault is Fault.LOST:
            self.cloud.lose_answer(method, path)
        elif fault is Fault.TIMEOUT:
            self.cloud.be_late(method, path, 2 * TIMEOUT_S, undone=True)
        elif fault is Fault.GARBLED:
            self.cloud.fail(method, path, Answer(200, {"hello": "world"}, judged=False))
        elif fault is Fault.SLOW and act is Act.CREATE:
            self.cloud.address_late_ms = 30 * SECOND_MS
        elif fault is Fault.SLOW:
            self.cloud.deletion_ms = 20 * SECOND_MS
        else:
            times = 2 if (act, fault) == (Act.CREATE, Fault.SOLD_OUT) else 1  # each location
            self.cloud.fail(method, path, REFUSALS[fault], times=times)

    def add_foreign(self, name: str) -> None:
        self.cloud.put_in(name)

    def has_foreign(self, name: str) -> bool:
        return any(
            each["name"] == name and not each["labels"] for each in self.cloud.servers.values()
        )

    def vanish(self, contract: ContractId) -> None:
        for each in self.cloud.carrying(LABEL_CONTRACT, contract):
            self.cloud.servers.pop(each["id"])

    def seen_host_key(self, seen: Observation) -> str:
        return str(self.config(seen)["ssh_keys"]["ed25519_public"])

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        number = self._number(seen)
        if number in self.cloud.passwords:
            return user == "root" and self.cloud.passwords[number] == password.reveal()
        (first,) = self.config(seen)["chpasswd"]["users"]
        salt = first["password"].split("$")[2]
        return bool(
            first["name"] == user and first["password"] == hash_password(password.reveal(), salt)
        )

    def config(self, seen: Observation) -> dict[str, Any]:
        """Return the cloud-config that a server got."""
        text = self.cloud.user_data[self._number(seen)]
        read: dict[str, Any] = json.loads(text.removeprefix("#cloud-config"))
        return read

    def _number(self, seen: Observation) -> int:
        assert seen.handle is not None
        return int(seen.handle.data["id"])

    def close(self) -> None:
        for each in self._drivers:
            each.close()

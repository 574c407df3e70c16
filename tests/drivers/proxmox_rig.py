"""The Proxmox fake as a backend that the conformance kit can look at, spoil and clean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decent_cloud.drivers.conformance.rig import RETRY_AFTER_S, Act, Fault, Power, Rig, every
from decent_cloud.drivers.contract import Observation, Secret
from decent_cloud.drivers.proxmox import permissions
from decent_cloud.drivers.proxmox.driver import ProxmoxDriver
from decent_cloud.drivers.proxmox.settings import read_settings
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.ids import ContractId
from tests.support.clouds.proxmox import TOKEN, VERSIONS, FakeProxmox, Guest, refusal
from tests.support.clouds.server import Answer

CALLS = {
    Act.CREATE: ("POST", r"/qemu/\d+/clone$"),
    Act.INSPECT: ("GET", r"/qemu/\d+/config$"),
    Act.LIST: ("GET", r"/cluster/resources$"),
    Act.DESTROY: ("DELETE", r"/qemu/\d+$"),
    Act.STOP: ("POST", r"/status/shutdown$"),
    Act.START: ("POST", r"/status/start$"),
    Act.RESET: ("POST", r"/agent/set-user-password$"),
}
LOCK = "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout"
REFUSALS = {
    Fault.UNAVAILABLE: refusal("Connection refused", 595),
    Fault.LOCKED: refusal(LOCK),
    Fault.DENIED: refusal("Permission check failed (/vms/9000, VM.Clone)", 403),
    # Proxmox itself counts no calls; a proxy before it may.
    Fault.RATE_LIMITED: Answer(429, headers={"Retry-After": str(RETRY_AFTER_S)}),
}
READ_FAULTS = (*REFUSALS, Fault.TIMEOUT, Fault.GARBLED)
TIMEOUT_S = 0.6


class ProxmoxRig(Rig):
    platform = "5e" * 32  # as long as platforms' ids are: longer than a tag of ours may be
    image = "debian-12"
    cpu_milli = 1_500
    memory_mib = 2_048
    disk_gib = 20
    powers = frozenset(Power)
    faults = (
        every((Act.CREATE,), Fault)
        | every((Act.INSPECT, Act.LIST, Act.DESTROY), READ_FAULTS)
        | every((Act.DESTROY,), (Fault.LOST, Fault.SLOW))
        | every((Act.STOP,), (Fault.LOST, Fault.UNAVAILABLE, Fault.LOCKED))
        | {(Act.RESET, Fault.LOST), (Act.PLAN, Fault.SOLD_OUT)}
    )

    def __init__(self, cloud: FakeProxmox, folder: Path) -> None:
        self.cloud = cloud
        self._drivers: list[ProxmoxDriver] = []
        self._token_file = folder / "token"
        self._token_file.touch(0o600)
        self._token_file.write_text(f"{TOKEN}\n")
        settings = read_settings(self.settings_with())
        needed = permissions.needed(VERSIONS[cloud.major], settings)
        cloud.acl = {path: set(each) for path, each in needed.items()}

    def settings_with(self, **settings: Any) -> dict[str, object]:
        return {
            "api": self.cloud.origin,
            "token_file": str(self._token_file),
            "node": "pve1",
            "images": {"debian-12": 9000},
            "first_vmid": 20_000,
            "last_vmid": 29_999,
            "storage": "fast",
            "timeout_s": TIMEOUT_S,
            "task_wait_s": 5,
            "clone_wait_s": 20,
            **settings,
        }

    def driver(self, platform: str = "", **settings: Any) -> ProxmoxDriver:
        wanted = read_settings(self.settings_with(**settings))
        made = ProxmoxDriver(wanted, platform or self.platform, self.cloud.clock, self.wait)
        self._drivers.append(made)
        return made

    def wait(self, seconds: float) -> None:
        self.cloud.clock.advance(round(seconds * SECOND_MS))

    def guest(self, contract: str) -> Guest:
        (only,) = self.cloud.named(f"dc-{contract}")
        return only

    def count(self, contract: ContractId) -> int:
        return len(self.cloud.named(f"dc-{contract}"))

    def pieces(self, contract: ContractId) -> int:
        nameless = [each for each in self.cloud.guests.values() if "name" not in each.config]
        return len([each for each in self.cloud.volumes if contract in each]) + len(nameless)

    def inject(self, act: Act, fault: Fault) -> None:
        cloud = self.cloud
        method, path = CALLS.get(act, ("", ""))
        if fault is Fault.SOLD_OUT:
            cloud.avail["fast"] = 0
        elif fault is Fault.LOST:
            cloud.lose_answer(method, path)
        elif fault is Fault.TIMEOUT:
            cloud.be_late(method, path, 2 * TIMEOUT_S, undone=True)
        elif fault is Fault.GARBLED:
            cloud.fail(method, path, Answer(200, {"hello": "world"}, judged=False))
        elif fault is Fault.PARTIAL:
            cloud.fail("POST", r"/upload$", REFUSALS[Fault.UNAVAILABLE])
        elif fault is Fault.SLOW and act is Act.CREATE:
            cloud.slow_address = 3
        elif fault is Fault.SLOW:
            cloud.task_ms["qmdestroy"] = 60 * SECOND_MS
        else:
            cloud.fail(method, path, REFUSALS[fault])

    def foreign(self, vmid: int, name: str) -> None:
        self.cloud.guests[vmid] = Guest(vmid, "pve1", {"name": name})

    def add_foreign(self, name: str) -> None:
        self.cloud.guests[555] = Guest(555, "pve2", {"name": name, "memory": "512"})

    def has_foreign(self, name: str) -> bool:
        return self.cloud.guests[555].config["name"] == name

    def vanish(self, contract: ContractId) -> None:
        del self.cloud.guests[self.guest(contract).vmid]

    def seen_host_key(self, seen: Observation) -> str:
        return self.guest(seen.contract).host_key

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        return self.cloud.lets_in(self.guest(seen.contract), user, password.reveal())

    def close(self) -> None:
        for each in self._drivers:
            each.close()

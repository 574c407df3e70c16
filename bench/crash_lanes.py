"""The drivers that the crash matrix runs inside this process: the fake one and the clouds' fakes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.crash_cells import Bench, Lane, MatrixRig
from decent_cloud.drivers.conformance.rig import Act
from decent_cloud.drivers.conformance.rig import Fault as Spoiled
from decent_cloud.drivers.contract import Driver
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.clock import SECOND_MS
from tests.agent.rig import rig_for
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.drivers.hetzner_rig import HetznerRig
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.drivers.vultr_rig import VultrRig
from tests.support.clouds.digitalocean import DigitalOceanCloud
from tests.support.clouds.hetzner import HetznerCloud
from tests.support.clouds.proxmox import FakeProxmox
from tests.support.clouds.server import FakeClock, serving_cloud
from tests.support.clouds.vultr import VultrCloud
from tests.support.market import publish
from tests.support.people import new_person, new_shop

CLOUDS: dict[str, tuple[Any, Any]] = {
    "hetzner": (HetznerCloud, HetznerRig),
    "digitalocean": (DigitalOceanCloud, DigitalOceanRig),
    "vultr": (VultrCloud, VultrRig),
    "proxmox": (FakeProxmox, ProxmoxRig),
}
TICK_S = 0.1
HURRY = 10
VM: dict[str, Any] = {"kind": "vm", "image": "debian-12", "disk_gib": 10}  # templates take 3
NAMES = ("fake", *CLOUDS)
_VERBS = {
    Act.CREATE: Verb.CREATE,
    Act.INSPECT: Verb.INSPECT,
    Act.LIST: Verb.LIST,
    Act.DESTROY: Verb.DESTROY,
}
_FAULTS = {Spoiled.LOST: Fault.ANSWER_LOST, Spoiled.UNAVAILABLE: Fault.TRY_LATER}


class FakeLane:
    """The fake driver on a cloud without unique names: what is created blindly is made twice."""

    name = "fake"

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        backend.change(unique_names=False, list_lag_ms=50)

    def driver(self, platform: str) -> Driver:
        ports = {"first_port": 21_000, "last_port": 21_099}
        return FakeDriver.from_settings({"path": str(self._backend.path), **ports}, platform)

    def why_not(self, act: Act, fault: Spoiled) -> str:
        if fault not in _FAULTS:
            return "the fake driver knows lost answers and 5xx; the clouds' fakes have the rest"
        return ""

    def inject(self, act: Act, fault: Spoiled) -> None:
        self._backend.fail_next(_VERBS[act], _FAULTS[fault])

    def count(self, contract: str) -> int:
        return len(self._backend.machines(contract))

    def left(self, contract: str) -> int:
        return self.count(contract)


class CloudLane:
    """A cloud's driver on the fake of its vendor, by the rig of the conformance kit."""

    def __init__(self, name: str, rig: Any) -> None:
        self.name = name
        self._rig = rig

    def driver(self, platform: str) -> Driver:
        # Patient, since a busy host is no fault: a timeout is a connection that breaks without an answer.
        made: Driver = self._rig.driver(platform, timeout_s=10)
        return made

    def why_not(self, act: Act, fault: Spoiled) -> str:
        if (act, fault) not in self._rig.faults:
            return "the driver's rig has no such fault at this call: it changes nothing there"
        return ""

    def inject(self, act: Act, fault: Spoiled) -> None:
        self._rig.inject(act, fault)

    def count(self, contract: str) -> int:
        return int(self._rig.count(contract))

    def left(self, contract: str) -> int:
        return self.count(contract) + int(self._rig.pieces(contract))


@contextmanager
def opened(name: str, url: str, folder: Path) -> Iterator[Bench]:
    """Give a driver's lane with a provider and a tenant of its own on the platform."""
    folder.mkdir()
    if name == "fake":
        backend = FakeBackend(folder / "cloud.db")
        yield _bench(FakeLane(backend), url, folder)
        return
    cloud_type, rig_type = CLOUDS[name]
    with serving_cloud(cloud_type()) as cloud:
        rig = rig_type(cloud, folder)
        ended = threading.Event()
        pacer = threading.Thread(target=_pace, args=(cloud.clock, ended), name="pacer")
        pacer.start()
        try:
            yield _bench(CloudLane(name, rig), url, folder)
        finally:
            ended.set()
            pacer.join()
            rig.close()


def _pace(clock: FakeClock, ended: threading.Event) -> None:
    """Let a fake's time run without calls too: a driver that waits for its limit makes none."""
    while not ended.wait(TICK_S):
        clock.advance(round(TICK_S * HURRY * SECOND_MS))


def _bench(lane: Lane, url: str, folder: Path) -> Bench:
    shop = new_shop(url)
    plain = rig_for(shop, url, folder / "agent")
    ports = (21_000, 21_099) if lane.name == "fake" else None
    rig = MatrixRig(
        plain.url, plain.folder, plain.keys, plain.provider, plain.pool, plain.backend, ports=ports
    )
    rig.lane = lane
    kind = {} if lane.name == "fake" else VM
    return Bench(lane, rig, new_person(url), publish(shop, stock=1_000, **kind))

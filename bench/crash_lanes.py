"""The drivers that the crash matrix runs inside this process, each with a backend that can be spoiled and counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.crash_cells import Bench, Lane, MatrixRig
from decent_cloud.drivers.conformance.rig import Act
from decent_cloud.drivers.conformance.rig import Fault as Spoiled
from decent_cloud.drivers.contract import Driver, Probe
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.clock import SECOND_MS
from tests.agent.rig import rig_for
from tests.drivers import sandbox_rig
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.drivers.docker_rig import docker_rig
from tests.drivers.hetzner_rig import HetznerRig
from tests.drivers.manual_rig import ManualRig
from tests.drivers.proxmox_rig import ProxmoxRig
from tests.drivers.script_rig import ScriptRig
from tests.drivers.vultr_rig import VultrRig
from tests.support.clouds.digitalocean import DigitalOceanCloud
from tests.support.clouds.hetzner import HetznerCloud
from tests.support.clouds.proxmox import FakeProxmox
from tests.support.clouds.server import serving_cloud
from tests.support.clouds.vultr import VultrCloud
from tests.support.market import publish
from tests.support.people import new_person, new_shop

CLOUDS: dict[str, tuple[Any, Any]] = {
    "hetzner": (HetznerCloud, HetznerRig),
    "digitalocean": (DigitalOceanCloud, DigitalOceanRig),
    "vultr": (VultrCloud, VultrRig),
    "proxmox": (FakeProxmox, ProxmoxRig),
}
NAMES = ("fake", "docker", *CLOUDS, "sandbox", "script", "manual")
TICK_S = 0.1
HURRY = 10
PORTS = (21_000, 21_099)
VM: Mapping[str, Any] = {"kind": "vm", "disk_gib": 10}  # the templates of Proxmox take 3
_VERBS = {
    Act.CREATE: Verb.CREATE,
    Act.INSPECT: Verb.INSPECT,
    Act.LIST: Verb.LIST,
    Act.DESTROY: Verb.DESTROY,
}
_FAULTS = {Spoiled.LOST: Fault.ANSWER_LOST, Spoiled.UNAVAILABLE: Fault.TRY_LATER}


TRIALS = 3  # a busy host may spoil one


class CannotBeHad(Exception):
    """A backend is not on this host; the text says why."""


@dataclass(frozen=True, slots=True)
class TriedEngine:
    """A Docker engine that passed a trial, which agents on it are spared."""

    url: str
    probe: Probe


def try_engine(url: str) -> TriedEngine:
    """Try a Docker engine as an agent does first. Errors: CannotBeHad."""
    driver = DockerDriver.from_settings({"engine": url}, "crash-matrix")
    try:
        probe = driver.probe()
        for _ in range(TRIALS - 1):
            probe = probe if probe.passed else driver.probe()
    finally:
        driver.close()
    if probe.passed:
        return TriedEngine(url, probe)
    raise CannotBeHad("; ".join(each.detail for each in probe.checks if not each.passed))


class FakeLane:
    """The fake driver on a cloud without unique names: what is created blindly is made twice."""

    name = "fake"
    real_deaths = True

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        backend.change(unique_names=False, list_lag_ms=50)

    def driver(self, platform: str) -> Driver:
        ports = {"first_port": PORTS[0], "last_port": PORTS[1]}
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


class RigLane:
    """A driver on the backend of its conformance rig."""

    real_deaths = False

    def __init__(self, name: str, rig: Any, **settings: object) -> None:
        self.name = name
        self._rig = rig
        self._settings = settings

    def driver(self, platform: str) -> Driver:
        made: Driver = self._rig.driver(platform, **self._settings)
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


class TriedLane(RigLane):
    """One whose drivers try a real machine before all else: restarts are spared the seconds of that."""

    def __init__(self, name: str, rig: Any, probe: Probe, **settings: object) -> None:
        super().__init__(name, rig, **settings)
        self._probe = probe
        self.real_deaths = name == "docker"  # elsewhere, by SIGKILL

    def driver(self, platform: str) -> Driver:
        made: Any = super().driver(platform)
        made._probed = self._probe
        return made  # type: ignore[no-any-return]


@contextmanager
def opened(name: str, url: str, folder: Path, engine: TriedEngine | None = None) -> Iterator[Bench]:
    """Give a driver's lane with a provider and a tenant of its own on the platform.

    Errors: CannotBeHad.
    """
    folder.mkdir()
    with ExitStack() as stack:
        lane, offer = _lane(name, folder, engine, stack)
        shop = new_shop(url)
        plain = rig_for(shop, url, folder / "agent")
        mapped = name in {"fake", "docker", "sandbox"}
        rig = MatrixRig(
            plain.url,
            plain.folder,
            plain.keys,
            plain.provider,
            plain.pool,
            plain.backend,
            ports=PORTS if mapped else None,
        )
        rig.lane = lane
        yield Bench(lane, rig, new_person(url), publish(shop, stock=1_000, **offer))


def _lane(
    name: str, folder: Path, engine: TriedEngine | None, stack: ExitStack
) -> tuple[Lane, Mapping[str, object]]:
    """Open a driver's backend; return the lane, and what offerings say of its machines."""
    # Patient, since a busy host is no fault: a timeout is a connection that breaks without an answer.
    match name:
        case "fake":
            return FakeLane(FakeBackend(folder / "cloud.db")), {}
        case "docker":
            if engine is None:
                raise CannotBeHad("no engine")
            docker = stack.enter_context(docker_rig(engine.url))
            # Beside the agent that is killed on the same engine, in ports and networks of its own.
            own = {"first_port": 24_000, "last_port": 24_099, "subnets": "10.202.0.0/16"}
            return TriedLane(name, docker, engine.probe, **own), {"image": docker.image}
        case "sandbox":
            if reason := sandbox_rig.why_not():
                raise CannotBeHad(reason)
            sandbox = stack.enter_context(sandbox_rig.sandbox_rig())
            probe = sandbox.driver(start_timeout_s=60).probe()
            lane = TriedLane(name, sandbox, probe, start_timeout_s=60)
            return lane, {"image": sandbox.image}
        case "script":
            script = ScriptRig(folder)
            script.hangs = False
            return RigLane(name, script, spoiled=True), {**VM, "image": script.image}
        case "manual":
            manual = ManualRig(folder)
            stack.enter_context(_again_and_again(lambda: manual.wait(TICK_S)))
            return RigLane(name, manual), {**VM, "image": manual.image}
    cloud_type, rig_type = CLOUDS[name]
    cloud = stack.enter_context(serving_cloud(cloud_type()))
    rig = rig_type(cloud, folder)
    stack.callback(rig.close)
    # A fake's time runs without calls too: a driver that waits for its limit makes none.
    step_ms = round(TICK_S * HURRY * SECOND_MS)
    stack.enter_context(_again_and_again(lambda: cloud.clock.advance(step_ms)))
    return RigLane(name, rig, timeout_s=10), {**VM, "image": rig.image}


@contextmanager
def _again_and_again(act: Callable[[], object]) -> Iterator[None]:
    """Do something every tick, in a thread, while the block lasts."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(TICK_S):
            act()

    thread = threading.Thread(target=work, name="pacer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

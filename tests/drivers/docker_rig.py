"""A real engine behind a proxy, and ways to look at it beside the driver."""

from __future__ import annotations

import itertools
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import pytest

from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig
from decent_cloud.drivers.contract import LABEL_CONTRACT, InstanceSpec, Observation, Secret
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.drivers.parts.guest_ssh import Entry, GuestDoor, try_password
from tests.support.unix_proxy import UnixProxy, unix_proxy

# The SDK leaves sockets to the garbage collector when a connection or an upgrade breaks.
SDK_LEAKS = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_ports = itertools.count(23_000 + secrets.randbelow(4_000))
_FOREIGN = "foreign-to-decent"


_LINES = {
    (Act.CREATE, Fault.PARTIAL): "/archive?",
    (Act.CREATE, Fault.LOST): "/containers/create",
    (Act.CREATE, Fault.TIMEOUT): "/containers/create",
    (Act.INSPECT, Fault.TIMEOUT): "/containers/dc-",
    (Act.LIST, Fault.TIMEOUT): "/containers/json",
    (Act.DESTROY, Fault.LOST): "DELETE /v{version}/containers",
    (Act.DESTROY, Fault.TIMEOUT): "DELETE /v{version}/containers",
    (Act.STOP, Fault.LOST): "/stop",
}


class DockerRig(Rig):
    image = "tiny"
    powers = frozenset(Power)
    faults = frozenset(_LINES)

    def __init__(self, url: str, proxy: UnixProxy) -> None:
        self.platform = f"test-{secrets.token_hex(4)}"
        self.proxy = proxy
        self.client: Any = docker.APIClient(base_url=url, version="auto", timeout=30)
        self._drivers: dict[str, DockerDriver] = {}

    def driver(self, platform: str = "", **settings: object) -> DockerDriver:
        """Return the platform's driver; with settings always a new one."""
        name = platform or self.platform
        if settings or name not in self._drivers:
            made = DockerDriver.from_settings({"engine": self.proxy.url, **settings}, name)
            self._drivers[name if not settings else f"{name} {len(self._drivers)}"] = made
            return made
        return self._drivers[name]

    def next_port(self) -> int:
        for port in _ports:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port
        raise AssertionError

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.1))

    def count(self, contract: str) -> int:
        found = self.client.containers(all=True, filters={"label": f"{LABEL_CONTRACT}={contract}"})
        return len(found)

    def networks(self, contract: str) -> int:
        return len(self.client.networks(filters={"label": f"{LABEL_CONTRACT}={contract}"}))

    def add_foreign(self, name: str) -> None:
        image = self.driver()._images.resolve("tiny")
        labels = {_FOREIGN: self.platform}
        self.client.create_container(image, name=name, labels=labels)

    def has_foreign(self, name: str) -> bool:
        found = self.client.containers(all=True, filters={"label": f"{_FOREIGN}={self.platform}"})
        return any(f"/{name}" in each["Names"] for each in found)

    def pieces(self, contract: str) -> int:
        return self.networks(contract)

    def vanish(self, contract: str) -> None:
        self.client.remove_container(f"dc-{contract}", force=True)

    def inject(self, act: Act, fault: Fault) -> None:
        line = _LINES[act, fault].format(version=self.client._version)
        (self.proxy.lose_answer_to if fault is Fault.LOST else self.proxy.drop_request)(line)

    def seen_host_key(self, seen: Observation) -> str:
        command = ["ssh-keyscan", "-T", "5", "-t", "ed25519", "-p", str(seen.port), seen.host]
        end = time.monotonic() + 10
        while time.monotonic() < end:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            for line in done.stdout.splitlines():
                if not line.startswith("#"):
                    return line.split(" ", 1)[1]
            time.sleep(0.05)
        return ""

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        door = GuestDoor(seen.host, seen.port, self.seen_host_key(seen))
        return try_password(door, user, password) is Entry.OPEN

    def record(self, spec: InstanceSpec) -> dict[str, Any]:
        return dict(self.client.inspect_container(spec.name))

    def inside(self, spec: InstanceSpec, script: str) -> str:
        """Run a script in a machine and return what it says."""
        return self.driver()._engine.run_in(spec.name, ["/bin/sh", "-c", script])[1].strip()

    def address(self, spec: InstanceSpec) -> tuple[str, str]:
        """Return a machine's own address and its gateway."""
        (network,) = self.record(spec)["NetworkSettings"]["Networks"].values()
        return network["IPAddress"], network["Gateway"]

    def clear(self) -> None:
        for driver in self._drivers.values():
            for each in driver.list_owned():
                assert each.handle is not None
                driver.destroy(each.handle, each.contract)
            driver.close()
        for each in self.client.containers(
            all=True, filters={"label": f"{_FOREIGN}={self.platform}"}
        ):
            self.client.remove_container(each["Id"], force=True)
        self.client.close()


@contextmanager
def docker_rig(url: str) -> Iterator[DockerRig]:
    """Give a rig for one test and remove all that its drivers made."""
    with TemporaryDirectory(prefix="dc-") as folder, unix_proxy(Path(folder) / "s", url) as proxy:
        rig = DockerRig(url, proxy)
        try:
            yield rig
        finally:
            rig.clear()


def knock(rig: DockerRig, spec: InstanceSpec, *targets: tuple[str, int]) -> list[bool]:
    """Try to connect from inside a machine to each target; tell which let it."""
    script = "".join(
        f"(nc {host} {port} </dev/null >/dev/null 2>&1 && echo {number}) & "
        for number, (host, port) in enumerate(targets)
    )
    said = rig.inside(spec, f"{script} usleep 1000000; killall -9 nc 2>/dev/null; wait")
    return [str(number) in said.split() for number in range(len(targets))]

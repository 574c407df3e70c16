"""The sandbox driver over a folder of its own, and ways to look at its machines beside it."""

from __future__ import annotations

import asyncio
import functools
import itertools
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig
from decent_cloud.drivers.contract import InstanceSpec, Observation, Secret, TryLater
from decent_cloud.drivers.sandbox import launch
from decent_cloud.drivers.sandbox.driver import SandboxDriver
from decent_cloud.drivers.sandbox.folders import Folder
from decent_cloud.drivers.sandbox.settings import read_settings

_ports = itertools.count(27_100 + secrets.randbelow(2_000))
_STEPS = {
    (Act.CREATE, Fault.TIMEOUT): "create:port",
    (Act.CREATE, Fault.PARTIAL): "create:folder",
    (Act.CREATE, Fault.LOST): "create:spawned",
    (Act.DESTROY, Fault.TIMEOUT): "destroy:asked",
    (Act.DESTROY, Fault.LOST): "destroy:removed",
    (Act.STOP, Fault.LOST): "stop:ended",
    (Act.RESET, Fault.LOST): "reset:written",
}


class SandboxRig(Rig):
    image = "host"
    disk_gib = 0
    powers = frozenset(Power)
    faults = frozenset(_STEPS)

    def __init__(self, folder: Path) -> None:
        self.platform = f"test-{secrets.token_hex(4)}"
        self.folder = folder
        self._drivers: dict[str, SandboxDriver] = {}
        self._breaks_at = ""

    def driver(self, platform: str = "", **settings: object) -> SandboxDriver:
        """Return the platform's driver; with settings always a new one."""
        name = platform or self.platform
        if settings or name not in self._drivers:
            parsed = read_settings({"folder": str(self.folder), **settings})
            made = SandboxDriver(parsed, name, on_step=self._step)
            if settings:
                return made
            self._drivers[name] = made
        return self._drivers[name]

    def next_port(self) -> int:
        for port in _ports:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port
        raise AssertionError

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.1))

    def machine(self, contract: str) -> Folder:
        return Folder(self.folder / "machines" / f"dc-{contract}")

    def machines_alive(self) -> list[Folder]:
        folders = [Folder(each) for each in self.folder.glob("machines/*")]
        return [each for each in folders if each.is_alive()]

    def count(self, contract: str) -> int:
        return sum(contract in each.name for each in self.folder.glob("machines/*"))

    def pieces(self, contract: str) -> int:
        """Count what else lies about: half-made and half-removed folders, locks, processes."""
        left = [each for each in self.folder.rglob(f"*{contract}*") if "machines" not in each.parts]
        return len(left) + len(processes_of(f"dc-{contract}"))

    def add_foreign(self, name: str) -> None:
        self.driver().scope()
        (self.folder / "machines" / name).mkdir()
        (self.folder / "machines" / name / "keep").write_text("somebody's")

    def has_foreign(self, name: str) -> bool:
        return (self.folder / "machines" / name / "keep").read_text() == "somebody's"

    def vanish(self, contract: str) -> None:
        launch.end(self.machine(contract))
        shutil.rmtree(self.machine(contract).path)

    def inject(self, act: Act, fault: Fault) -> None:
        self._breaks_at = _STEPS[act, fault]

    def _step(self, name: str) -> None:
        if name == self._breaks_at:
            self._breaks_at = ""
            raise TryLater(f"broken off after {name}", after_s=1)

    def seen_host_key(self, seen: Observation) -> str:
        command = ["ssh-keyscan", "-T", "10", "-t", "ed25519", "-p", str(seen.port), seen.host]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
        return lines[0].split(" ", 1)[1] if lines else ""

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        async def login() -> None:
            async with asyncssh.connect(
                seen.host, seen.port, username=user, password=password.reveal(), known_hosts=None,
                client_keys=[], agent_path=None, config=None,
            ):  # fmt: skip
                pass

        try:
            asyncio.run(login())
        except asyncssh.PermissionDenied:
            return False
        return True

    def inside(self, spec: InstanceSpec, script: str, password: Secret | None = None) -> str:
        """Run a script in a machine over the password, and return what it says."""

        async def run() -> str:
            async with asyncssh.connect(
                "127.0.0.1", spec.ssh_port, username="root",
                password=(password or spec.password).reveal(), known_hosts=None,
                client_keys=[], agent_path=None, config=None,
            ) as connection:  # fmt: skip
                done = await connection.run(script, stderr=asyncssh.STDOUT)
                return str(done.stdout).strip()

        return asyncio.run(run())

    def clear(self) -> None:
        for each in self.folder.glob("machines/*"):
            launch.end(Folder(each))
        shutil.rmtree(self.folder)


def processes_of(name: str) -> list[int]:
    """Return the processes whose arguments name a machine; those that ended and nobody collected do not."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in words:
            found.append(int(each.parent.name))
    return found


@contextmanager
def sandbox_rig() -> Iterator[SandboxRig]:
    """Give a rig for one test and end all that its drivers made; skips where no machine can run."""
    if reason := why_not():
        pytest.skip(reason)
    rig = SandboxRig(Path(tempfile.mkdtemp(prefix="dc-sandbox-")))
    try:
        yield rig
    finally:
        rig.clear()


@functools.cache
def why_not() -> str:
    """Try once whether a machine runs here; return the reason why not."""
    with tempfile.TemporaryDirectory(prefix="dc-sandbox-") as folder:
        driver = SandboxDriver.from_settings({"folder": folder}, "why-not")
        failed = [each for each in driver.probe().checks if not each.passed]
    return f"no sandbox: {failed[0].detail}" if failed else ""

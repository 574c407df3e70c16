"""A provider's own account as a rig: nothing is spoiled in it, and what was made is found by its tag."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping

import msgspec

from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.rig import Power, Rig
from decent_cloud.drivers.contract import (
    CanCheckPlan,
    Driver,
    Observation,
    Rejected,
    Secret,
    TryLater,
)
from decent_cloud.drivers.parts.guest_ssh import Entry, GuestDoor, try_password
from decent_cloud.kernel.errors import DecentError
from decent_cloud.kernel.status import Observed

KEYSCAN = "ssh-keyscan"
_SSH_S = 120.0
_CLEAN_S = 900.0
_LOOK_S = 2.0


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which backend, under which tag, and the machine that is made there."""

    driver: str
    driver_settings: dict[str, object]
    platform: str
    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    settings: dict[str, str] = {}
    ssh: bool = True
    poll_s: float = 5.0


class AccountRig(Rig):
    """The kit's view of an account: it looks through the driver, and at the machines' SSH ports."""

    patience = 180

    def __init__(self, account: Account) -> None:
        self.platform = account.platform
        self.image = account.image
        self.cpu_milli = account.cpu_milli
        self.memory_mib = account.memory_mib
        self.disk_gib = account.disk_gib
        self.settings: Mapping[str, str] = account.settings
        self.poll_s = account.poll_s
        self._account = account
        self._drivers: dict[str, Driver] = {}
        self._next_port = 0
        powers = {Power.SECOND_PLATFORM}
        if account.ssh and shutil.which(KEYSCAN):
            powers |= {Power.HOST_KEY, Power.PASSWORD}
        if isinstance(self.driver(), CanCheckPlan):
            powers.add(Power.IMAGE_LIST)
        self.powers = frozenset(powers)

    def driver(self, platform: str = "") -> Driver:
        """Return the platform's driver, built once."""
        name = platform or self.platform
        if name not in self._drivers:
            account = self._account
            self._drivers[name] = registry.load(account.driver, account.driver_settings, name)
        return self._drivers[name]

    def next_port(self) -> int:
        """Return a free port of the driver's range, from its end: agents reserve from its start."""
        ports = self.driver().describe().port_range
        if ports is None:
            return 0
        first, last = ports
        start = self._next_port or last
        downwards: list[int] = [*range(start, first - 1, -1), *range(last, start, -1)]
        for port in downwards:
            if _is_free(port):
                self._next_port = port - 1 if port > first else last
                return port
        raise AssertionError(f"no port of {first} to {last} is free")

    def seen_host_key(self, seen: Observation) -> str:
        """Ask the machine's SSH server, for as long as it may take to come up."""
        command = [KEYSCAN, "-T", "5", "-t", "ed25519", "-p", str(seen.port), seen.host]
        end_s = time.monotonic() + _SSH_S
        while time.monotonic() < end_s:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            for line in done.stdout.splitlines():
                if not line.startswith("#"):
                    return line.split(" ", 1)[1].strip()
            time.sleep(_LOOK_S)
        return ""

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        """Log in over SSH; raises AssertionError where nobody answers."""
        door = GuestDoor(seen.host, seen.port, self.seen_host_key(seen))
        entry = try_password(door, user, password)
        assert entry in {Entry.OPEN, Entry.REFUSED}, entry
        return entry is Entry.OPEN

    def close(self) -> None:
        """Release the drivers' connections."""
        for driver in self._drivers.values():
            driver.close()


def clean(driver: Driver, poll_s: float = _LOOK_S, limit_s: float = _CLEAN_S) -> tuple[str, ...]:
    """Remove all that carries the driver's platform tag; returns what is still there and why."""
    end_s = time.monotonic() + limit_s
    while True:
        left = _clean_once(driver)
        if not left or time.monotonic() > end_s:
            return left
        time.sleep(poll_s)


def _clean_once(driver: Driver) -> tuple[str, ...]:
    try:
        found = driver.list_owned()
    except DecentError as error:
        return (f"the list cannot be read: {error.message}",)
    left = []
    for each in found:
        if each.handle is None:
            left.append(f"{each.contract} has no handle")
            continue
        try:
            seen = driver.destroy(each.handle, each.contract)
        except (Rejected, TryLater) as error:
            left.append(f"{each.contract}: {error.message}")
        except DecentError as error:
            left.append(f"{each.contract}: {error.code}: {error.message}")
        else:
            if seen.state is not Observed.ABSENT:
                left.append(f"{each.contract} is {seen.state}")
    return tuple(left)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True

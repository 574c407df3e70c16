"""Drivers of clouds' fakes whose machines answer over SSH: each address leads to a guest on loopback."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from decent_cloud.drivers.contract import Handle, InstanceSpec, Observation
from decent_cloud.drivers.digitalocean.driver import DigitalOceanDriver
from decent_cloud.drivers.hetzner.driver import HetznerDriver
from decent_cloud.drivers.vultr.driver import VultrDriver
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed
from tests.drivers.digitalocean_rig import DigitalOceanRig
from tests.drivers.hetzner_rig import HetznerRig
from tests.drivers.vultr_rig import VultrRig
from tests.support.clouds.vultr import DEFAULT_PASSWORD
from tests.support.guest import LOOPBACK, Guest, Guests


class Houses(Protocol):
    """Builds the guest behind a machine of a fake."""

    def build(self, number: str, folder: Path) -> Guest: ...


class DigitalOceanHouses:
    def __init__(self, rig: DigitalOceanRig) -> None:
        self._cloud = rig.cloud

    def build(self, number: str, folder: Path) -> Guest:
        cloud, droplet = self._cloud, int(number)
        named = tuple(cloud.named_keys.get(droplet, ()))
        return Guest(folder, cloud.user_data[droplet], cloud.mailed.get(droplet, ""), named)


class VultrHouses:
    def __init__(self, rig: VultrRig) -> None:
        self._cloud = rig.cloud

    def build(self, number: str, folder: Path) -> Guest:
        return Guest(folder, self._cloud.user_data[number], DEFAULT_PASSWORD)


class HetznerHouses:
    def __init__(self, rig: HetznerRig) -> None:
        self._cloud = rig.cloud

    def build(self, number: str, folder: Path) -> Guest:
        return Guest(folder, self._cloud.user_data[int(number)])


class Street:
    """The guests of one fake by their machines' numbers, each opened once its machine runs."""

    def __init__(self, houses: Houses, guests: Guests, folder: Path) -> None:
        self._houses = houses
        self._guests = guests
        self._folder = folder
        self._lock = threading.Lock()
        self.at: dict[str, Guest] = {}

    def lead(self, seen: Observation) -> Observation:
        """Let a running machine's address be its guest's."""
        if seen.state is not Observed.RUNNING or seen.handle is None or not seen.host:
            return seen
        number = seen.handle.data["id"]
        with self._lock:
            if number not in self.at:
                built = self._houses.build(number, self._folder / number)
                self.at[number] = self._guests.serve(built)
            return replace(seen, host=LOOPBACK, port=self.at[number].port)


class Housed:
    """Mixed into a driver before its class."""

    street: Street

    def create(self, spec: InstanceSpec) -> Observation:
        driver: Any = super()
        return self.street.lead(driver.create(spec))

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        driver: Any = super()
        return self.street.lead(driver.inspect(handle, contract))

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        driver: Any = super()
        return tuple(map(self.street.lead, driver.list_owned(contract)))


class HousedDigitalOcean(Housed, DigitalOceanDriver):
    """Droplets with doors."""


class HousedVultr(Housed, VultrDriver):
    """Instances with doors."""


class HousedHetzner(Housed, HetznerDriver):
    """Servers with doors."""

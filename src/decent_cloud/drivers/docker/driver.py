"""The Docker driver: the contract's verbs over one engine of this host."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Self

import msgspec

from decent_cloud.drivers.contract import (
    Check,
    Description,
    DriverError,
    FirstRun,
    Handle,
    InstanceSpec,
    Limit,
    Observation,
    Plan,
    Probe,
    Rejected,
    RunState,
    Secret,
    SshKey,
    Traffic,
)
from decent_cloud.drivers.docker import mapping, plans, trials
from decent_cloud.drivers.docker.api import Engine
from decent_cloud.drivers.docker.firewall import Firewall
from decent_cloud.drivers.docker.image import Images
from decent_cloud.drivers.docker.machines import Machines
from decent_cloud.drivers.docker.probe import Trial
from decent_cloud.drivers.docker.settings import DockerSettings, read_settings
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.ids import ContractId

VERSION = "1"
_RULES_LAST_S = 10.0  # how long a look at the firewall is believed


class DockerDriver:
    """The contract over a Docker engine, with every ability there is."""

    def __init__(self, settings: DockerSettings, platform: str, clock: Clock | None = None) -> None:
        self._settings = settings
        self._engine = Engine(settings.engine, settings.timeout_s)
        self._images = Images(self._engine, settings.images)
        self._firewall = Firewall(settings.deny_networks)
        self._clock = clock or SystemClock()
        self._machines = self._machines_of(platform, settings)
        self._trial = self._trial_of(f"{platform}/probe")
        self._lock = threading.Lock()
        self._probed: Probe | None = None
        self._rules_seen_s = float("-inf")

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver without I/O; raises Invalid for a setting that is not right."""
        return cls(read_settings(settings), platform)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        walls = "a network of its own behind host firewall rules"
        if self._settings.isolation == "none":
            walls = "no network isolation (by settings)"
        isolation = f"container: shared kernel, few capabilities, no new privileges, {walls}"
        ports = (self._settings.first_port, self._settings.last_port)
        return Description(mapping.DRIVER, VERSION, self._settings.engine, isolation, ports)

    def probe(self) -> Probe:
        """Run machines and try their limits and walls, once per process unless it failed.

        The fingerprint is read each time; with another one everything is tried again.
        """
        with self._lock:
            if self._probed is None or not self._probed.passed or not self._is_same(self._probed):
                self._probed = self._trial.run()
            return self._probed

    def scope(self) -> str:
        """Read the mark in the engine's store."""
        return self._machines.scope()

    def create(self, spec: InstanceSpec) -> Observation:
        """Make the container, or return the one that this contract already has here.

        A taken host port is NoCapacity with the detail `port`; nothing is left behind then.
        """
        if spec.user != "root":
            raise Rejected("machines of this driver are entered as root", user=spec.user)
        self._keep_walls()
        return self._machines.make(spec, disk_mib=self._disk_mib(spec))

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one container by its name."""
        return self._machines.read(handle.data["name"], contract)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Remove container and network; ABSENT once a read says so."""
        return self._machines.remove(handle.data["name"], contract)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's containers in one call, stopped ones included."""
        return self._machines.owned(contract)

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Stop the container; its disk, port and host key stay."""
        return self._machines.switch(handle.data["name"], contract, on=False)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start the container."""
        self._keep_walls()
        return self._machines.switch(handle.data["name"], contract, on=True)

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Set root's password by a command inside; the old one is dead at once, sessions stay."""
        if user != "root":
            raise Rejected("machines of this driver are entered as root", user=user)
        self._machines.set_password(handle.data["name"], contract, user, password.reveal())
        return password

    def replace_keys(
        self,
        handle: Handle,
        contract: ContractId,
        user: str,
        keys: tuple[SshKey, ...],
        kept: SshKey | None,
    ) -> None:
        """Replace the keys by a command inside; what is logged in stays."""
        self._machines.replace_keys(handle.data["name"], contract, user, keys, kept)

    def read_keys(self, handle: Handle, contract: ContractId, user: str) -> tuple[str, ...]:
        """Read the keys by a command inside."""
        return self._machines.read_keys(handle.data["name"], contract, user)

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        """Read what went through the container's bridge; it counts on over stops and restarts."""
        return self._machines.traffic(handle.data["name"], contract)

    def run_first(self, handle: Handle, contract: ContractId, script: FirstRun) -> RunState:
        """Have a first script run at most once, by a command inside; the container's end ends it."""
        return self._machines.run_first(handle.data["name"], contract, script)

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Compare an offering with the engine's images and the host's size."""
        return plans.check(self._engine, self._images, plan)

    def close(self) -> None:
        """Release connections."""
        self._engine.close()

    def _machines_of(self, platform: str, settings: DockerSettings) -> Machines:
        return Machines(self._engine, self._images, settings, platform, self._clock)

    def _trial_of(self, platform: str) -> Trial:
        settings = msgspec.structs.replace(self._settings, max_pids=trials.MAX_PIDS)
        machines = self._machines_of(platform, settings)
        return Trial(self._engine, self._images, self._firewall, machines, settings, self._clock)

    def _keep_walls(self) -> None:
        """See that the rules are in place: somebody may have flushed them."""
        if self._settings.isolation == "none":
            return
        if time.monotonic() - self._rules_seen_s > _RULES_LAST_S:
            self._firewall.ensure()
            self._rules_seen_s = time.monotonic()

    def _is_same(self, probed: Probe) -> bool:
        """Tell whether the engine that was tried still answers."""
        try:
            return self.scope() == probed.scope
        except DriverError:
            return False

    def _disk_mib(self, spec: InstanceSpec) -> int:
        """Return the disk limit, 0 where the probe did not show that the engine keeps one."""
        holds = self._probed is not None and Limit.DISK in self._probed.limits
        return spec.disk_gib * 1_024 if holds else 0

"""The sandbox driver: machines without a daemon and without root, for development and trusted tenants."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Self

from decent_cloud.drivers.contract import (
    Check,
    Description,
    DriverError,
    FirstRun,
    Handle,
    InstanceSpec,
    Observation,
    Plan,
    Probe,
    RunState,
    Secret,
    SshKey,
)
from decent_cloud.drivers.sandbox.folders import Store
from decent_cloud.drivers.sandbox.machines import DRIVER, Machines, OnStep
from decent_cloud.drivers.sandbox.probe import Trial
from decent_cloud.drivers.sandbox.settings import SandboxSettings, read_settings
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.isolation import TRUSTED_ONLY

VERSION = "1"
ISOLATION = (
    f"{TRUSTED_ONLY}: processes in namespaces of their own on this host's kernel and programs, no"
    " network, memory limit per process, no limit of CPU time and disk"
)


class SandboxDriver:
    """The contract over folders and bubblewrap; also keeps `CanStop`, `CanResetPassword`, `CanCheckPlan`."""

    def __init__(
        self,
        settings: SandboxSettings,
        platform: str,
        clock: Clock | None = None,
        on_step: OnStep = lambda _step: None,
    ) -> None:
        self._settings = settings
        clock = clock or SystemClock()
        self._store = Store(settings.place)
        self._machines = Machines(self._store, settings, platform, clock, on_step)
        trials = Machines(self._store, settings, f"{platform}/probe", clock)
        self._trial = Trial(settings, trials, clock)
        self._lock = threading.Lock()
        self._probed: Probe | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver without I/O; raises Invalid for a setting that is not right."""
        return cls(read_settings(settings), platform)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        ports = (self._settings.first_port, self._settings.last_port)
        return Description(DRIVER, VERSION, str(self._settings.place), ISOLATION, ports)

    def probe(self) -> Probe:
        """Run a machine and look around inside, once per process unless it failed."""
        with self._lock:
            if self._probed is None or not self._probed.passed or not self._is_same(self._probed):
                self._probed = self._trial.run()
            return self._probed

    def scope(self) -> str:
        """Read the mark in the machines' folder."""
        return self._store.scope()

    def create(self, spec: InstanceSpec) -> Observation:
        """Make the machine, or return the one that this contract already has here.

        A taken host port is NoCapacity with the detail `port`; nothing is left behind then.
        """
        return self._machines.make(spec)

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one machine by its name."""
        return self._machines.read(handle.data["name"], contract)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """End the machine and remove its folder."""
        return self._machines.remove(handle.data["name"], contract)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's machines, stopped ones included."""
        return self._machines.owned(contract)

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """End the machine's processes; home, port and host key stay."""
        return self._machines.switch(handle.data["name"], contract, on=False)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start the machine again."""
        return self._machines.switch(handle.data["name"], contract, on=True)

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Set the password; it works from the next login on."""
        self._machines.set_password(handle.data["name"], contract, user, password)
        return password

    def replace_keys(
        self,
        handle: Handle,
        contract: ContractId,
        user: str,
        keys: tuple[SshKey, ...],
        kept: SshKey | None,
    ) -> None:
        """Replace the keys; they count from the next login on."""
        self._machines.replace_keys(handle.data["name"], contract, user, keys, kept)

    def read_keys(self, handle: Handle, contract: ContractId, user: str) -> tuple[str, ...]:
        """Read which keys let in."""
        return self._machines.read_keys(handle.data["name"], contract, user)

    def run_first(self, handle: Handle, contract: ContractId, script: FirstRun) -> RunState:
        """Have a first script run at most once, by the server inside; the machine's end ends it."""
        return self._machines.run_first(handle.data["name"], contract, script)

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Say whether the image may be used and how much memory there is."""
        return self._trial.check_plan(plan)

    def close(self) -> None:
        """Release nothing: no connection is held."""

    def _is_same(self, probed: Probe) -> bool:
        try:
            return self.scope() == probed.scope
        except DriverError:
            return False

"""The Proxmox VE driver: the contract's verbs over one cluster, on one node of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from decent_cloud.drivers.contract import (
    Broken,
    Check,
    Description,
    DriverError,
    Handle,
    InstanceSpec,
    Observation,
    Plan,
    Probe,
    Rejected,
    Secret,
    TryLater,
)
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.drivers.proxmox import mapping, trials
from decent_cloud.drivers.proxmox.access import open_api
from decent_cloud.drivers.proxmox.api import ProxmoxApi, Record
from decent_cloud.drivers.proxmox.census import Census
from decent_cloud.drivers.proxmox.making import Making
from decent_cloud.drivers.proxmox.mapping import Machine, Marks
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings, read_settings
from decent_cloud.drivers.proxmox.tasks import Tasks
from decent_cloud.drivers.proxmox.unmaking import Unmaking
from decent_cloud.kernel.clock import MINUTE_MS, Clock, SystemClock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

VERSION = "1"
_FORSAKEN_MS = 15 * MINUTE_MS  # a clone that nobody completed in this time is removed
_POWER_EXTRA_S = 10


@dataclass(frozen=True, slots=True)
class _Parts:
    """What works on one cluster."""

    api: ProxmoxApi
    tasks: Tasks
    census: Census
    unmaking: Unmaking
    making: Making


class ProxmoxDriver:
    """The contract over a cluster; also stops, resets passwords and checks plans."""

    def __init__(
        self,
        settings: ProxmoxSettings,
        platform: str,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._clock = clock or SystemClock()
        self._pause = pause
        self._lock = threading.Lock()
        self._opened: _Parts | None = None
        self._probed: Probe | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver without I/O; raises Invalid for a setting that is not right."""
        return cls(read_settings(settings), platform)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        where = f"{self._settings.api} {self._settings.node}"
        return Description(mapping.DRIVER, VERSION, where, "virtual machine of its own (KVM)")

    def probe(self) -> Probe:
        """Try token, permissions, templates, storages and bridge, once unless it failed; makes nothing."""
        probed = self._probed
        if probed is None or not probed.passed or not trials.is_same(self.scope, probed.scope):
            self._probed = probed = trials.run(self.scope, self._reading, self._settings)
        return probed

    def scope(self) -> str:
        """Read the fingerprint of the cluster's own certificate authority, made when it was installed."""
        read = self._parts.api.fingerprint(self._settings.node)
        return f"{mapping.DRIVER}:{read.replace(':', '').lower()[:40]}"

    def create(self, spec: InstanceSpec) -> Observation:
        """Clone and start the machine, or return the one that this contract already has here.

        The id follows from the contract and the notes are there from the clone on, so that a try
        whose answer was lost is found by the next. A clone that takes longer than `clone_wait_s` is
        TryLater, and the next call goes on from there.
        """
        scope = self.scope()
        machine, marks = self._parts.making.make(spec)
        return self._observe(machine, spec.contract, marks, scope)

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one VM by its id, on whatever node it is now."""
        found = self._ours(handle, contract, Broken)
        if found is None:
            return mapping.absent(contract, self.scope(), handle)
        return self._observe(*found, self.scope())

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Stop and remove VM, disks and first-start drive; ABSENT once a read says so."""
        found = self._ours(handle, contract, Rejected)
        if found is None:
            self._parts.unmaking.remove_seeds(self._settings.node, contract)
            return mapping.absent(contract, self.scope(), handle)
        machine, _, marks = found
        if self._parts.unmaking.remove(machine, contract):
            return mapping.absent(contract, self.scope(), handle)
        seen = mapping.observe(machine, contract, marks, self.scope(), marks.host)
        return replace(seen, state=Observed.DELETING)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's complete machines, stopped ones too; removes clones nobody completed."""
        guests = tuple(self._parts.census.take().values())
        scope = self.scope()
        found = []
        for machine in guests:
            marks = mapping.marks_in_tags(machine.tags)
            if marks.platform == mapping.mark(self._platform):
                if contract is None or marks.contract == mapping.mark(contract):
                    found.append(
                        self._observe(
                            machine, ContractId(marks.contract), marks, scope, listed=True
                        )
                    )
            elif contract is None and self._may_be_forsaken(machine):
                self._sweep(machine, guests)
        return tuple(found)

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Shut the machine down; cut its power if it takes longer than `shutdown_wait_s`."""
        found = self._ours(handle, contract, Rejected)
        if found is not None and found[0].status == "running":
            machine, patience_s = found[0], self._settings.shutdown_wait_s
            form = {"timeout": round(patience_s), "forceStop": True}
            upid = self._parts.api.power(machine.node, machine.vmid, "shutdown", form)
            if not self._parts.tasks.finish(upid, patience_s + _POWER_EXTRA_S):
                raise TryLater("the machine is still being shut down", after_s=5)
        return self.inspect(handle, contract)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start the machine."""
        found = self._ours(handle, contract, Rejected)
        if found is not None and found[0].status == "stopped":
            machine = found[0]
            upid = self._parts.api.power(machine.node, machine.vmid, "start")
            if not self._parts.tasks.finish(upid, self._settings.task_wait_s):
                raise TryLater("the machine is still being started", after_s=3)
        return self.inspect(handle, contract)

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Let the guest agent set the password, as a hash: Proxmox never sees the password itself."""
        found = self._ours(handle, contract, Rejected)
        if found is None:
            raise Rejected("the machine is gone")
        machine = found[0]
        if machine.status != "running":
            raise TryLater("the machine must run for a reset", after_s=10)
        hashed = hash_password(password.reveal())
        try:
            self._parts.api.set_password(machine.node, machine.vmid, user, hashed)
        except Broken as error:
            if error.details.get("status") != 500:
                raise
            raise Rejected(f"the guest refuses: {error.message}", user=user) from error
        return password

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Compare an offering with template, node, storage and bridge as they are now."""
        return trials.plan_checks(plan, *self._reading(), self._settings)

    def close(self) -> None:
        """Release connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.api.close()
                self._opened = None

    @property
    def _parts(self) -> _Parts:
        with self._lock:
            if self._opened is None:
                settings = self._settings
                api = open_api(settings)
                tasks = Tasks(api, self._pause)
                census = Census(api, settings)
                unmaking = Unmaking(api, tasks, settings, self._platform)
                making = Making(api, tasks, census, unmaking, settings, self._clock)
                self._opened = _Parts(api, tasks, census, unmaking, making)
            return self._opened

    def _reading(self) -> tuple[ProxmoxApi, Census]:
        return self._parts.api, self._parts.census

    def _ours(
        self, handle: Handle, contract: ContractId, otherwise: type[DriverError]
    ) -> tuple[Machine, ContractId, Marks] | None:
        """Read the VM of a handle; None if the cluster has none of this contract under its id.

        A VM that says only in part that it is this contract's is `otherwise`: somebody changed it.
        """
        vmid, node = int(handle.data["vmid"]), handle.data["node"]
        config = self._parts.api.config(node, vmid)
        if config is None:
            node = self._parts.census.node_of(vmid)
            config = self._parts.api.config(node, vmid) if node else None
        if config is None:
            self._is_for(handle, contract)
            return None
        marks = mapping.marks_of(config)
        if marks.are(self._platform, contract):
            return self._read(vmid, node, config), contract, marks
        if mapping.mentions(config, contract):
            raise otherwise(
                f"the VM {vmid} carries other marks than this contract's machine", vmid=vmid
            )
        # The id went to another machine: what had it before is gone.
        self._is_for(handle, contract)
        return None

    def _is_for(self, handle: Handle, contract: ContractId) -> None:
        if handle.data.get("name") != mapping.name_of(contract):
            raise Rejected("the handle is of another contract's machine", vmid=handle.data["vmid"])

    def _read(self, vmid: int, node: str, config: Record) -> Machine:
        status = self._parts.api.status(node, vmid)
        if status is None:
            raise TryLater(f"the VM {vmid} went away just now", after_s=1)
        texts = {name: str(config.get(name) or "") for name in ("name", "tags", "lock")}
        return Machine(
            vmid, node, texts["name"], texts["tags"], str(status["status"]), texts["lock"], False
        )

    def _observe(
        self,
        machine: Machine,
        contract: ContractId,
        marks: Marks,
        scope: str,
        *,
        listed: bool = False,
    ) -> Observation:
        """Find the machine's address: as the guest says, else the one that it had last.

        A list takes the last one without asking, where there is one.
        """
        host, detail = marks.host, ""
        if machine.status == "running" and not (listed and host):
            found, detail = self._address(machine)
            host = found or host
            if host != marks.host:
                self._remember(machine, contract, host)
        return mapping.observe(machine, contract, marks, scope, host, detail)

    def _address(self, machine: Machine) -> tuple[str, str]:
        interfaces = self._parts.api.interfaces(machine.node, machine.vmid)
        if interfaces is None:
            return "", "the guest agent does not answer"
        fixed = self._settings.address_of(machine.vmid)
        private = self._settings.private_addresses
        return mapping.usable_address(interfaces, fixed=fixed, private=private)

    def _remember(self, machine: Machine, contract: ContractId, host: str) -> None:
        """Write an address that was seen into the tags: a tenant may remove the guest agent later."""
        try:
            config = self._parts.api.config(machine.node, machine.vmid) or {}
            if mapping.marks_of(config).are(self._platform, contract):
                tags = mapping.tags_with_host(str(config.get("tags") or ""), host)
                form = {"tags": tags, "digest": str(config.get("digest") or "")}
                self._parts.api.configure(machine.node, machine.vmid, form)
        except DriverError:
            return  # the next read tries again

    def _may_be_forsaken(self, machine: Machine) -> bool:
        return (
            self._settings.owns(machine.vmid)
            and mapping.is_our_name(machine.name)
            and not mapping.marks_in_tags(machine.tags).ready
            and not machine.lock
            and machine.status == "stopped"
        )

    def _sweep(self, machine: Machine, guests: tuple[Machine, ...]) -> None:
        """Remove a clone of ours that only another `create` could complete, and none did for long."""
        config = self._parts.api.config(machine.node, machine.vmid) or {}
        marks = mapping.marks_of(config)
        age_ms = self._clock.now_ms() - marks.made_at_ms
        ours = marks.platform == mapping.mark(self._platform) and not marks.ready
        named = machine.name == mapping.name_of(marks.contract)
        if ours and named and age_ms > _FORSAKEN_MS and not self._parts.making.busy(marks.contract):
            alone = [each.name for each in guests].count(machine.name) == 1
            self._parts.unmaking.remove_half(machine, marks.contract, alone=alone)

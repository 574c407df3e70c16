"""The way to a machine: clone, first-start drive, size, marks, start; each step found again when repeated."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    InstanceSpec,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.parts.cloud_init import user_data
from decent_cloud.drivers.proxmox import mapping
from decent_cloud.drivers.proxmox.api import ProxmoxApi, Record
from decent_cloud.drivers.proxmox.census import Census
from decent_cloud.drivers.proxmox.mapping import Machine, Marks
from decent_cloud.drivers.proxmox.seed import Network, first_start_drive
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings
from decent_cloud.drivers.proxmox.tasks import Tasks
from decent_cloud.drivers.proxmox.unmaking import Unmaking
from decent_cloud.kernel.clock import Clock

SEED_LIMIT_BYTES = 512 * 1_024
GIB = 1 << 30
_DEFINITE = (Rejected, NoCapacity, AuthFailed)


class Making:
    """Makes machines of one platform."""

    def __init__(
        self,
        api: ProxmoxApi,
        tasks: Tasks,
        census: Census,
        unmaking: Unmaking,
        settings: ProxmoxSettings,
        clock: Clock,
    ) -> None:
        self._api = api
        self._tasks = tasks
        self._census = census
        self._unmaking = unmaking
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        # Which contract this program cloned for, by id: a clone shows no name for minutes.
        self._tried: dict[int, str] = {}

    def busy(self, contract: str) -> bool:
        """Tell whether a machine of this contract is being made by this program."""
        with self._lock:
            return contract in self._busy

    def make(self, spec: InstanceSpec) -> tuple[Machine, Marks]:
        """Return the contract's machine, complete and started; made as far as it is missing.

        Errors: those of `create`. What a refusal leaves half made is removed.
        """
        data = user_data(spec, limit_bytes=SEED_LIMIT_BYTES)
        with self._alone(spec.contract):
            guests = self._census.take()
            machine = self._find(spec, guests)
            if machine is None:
                made = self._clone(spec, guests)
                # Another agent may have cloned meanwhile: both then choose the same one.
                machine = self._find(spec, self._census.take()) or made
            config = self._ours(spec, machine)
            marks = mapping.marks_of(config)
            if marks.ready:
                return self._started(machine), marks
            if machine.lock or config.get("lock"):
                raise self._locked(machine)
            try:
                return self._complete(spec, machine, config, data)
            except _DEFINITE:
                with contextlib.suppress(DriverError):
                    self._unmaking.remove_half(machine, spec.contract, alone=True)
                raise

    @contextlib.contextmanager
    def _alone(self, contract: str) -> Iterator[None]:
        with self._lock:
            if contract in self._busy:
                raise TryLater("this contract's machine is being made right now", after_s=1)
            self._busy.add(contract)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(contract)

    def _find(self, spec: InstanceSpec, guests: dict[int, Machine]) -> Machine | None:
        """Find the contract's VM: complete ones first; a second, half-made one is removed."""
        found = sorted(
            (
                each
                for each in guests.values()
                if each.name == spec.name
                or mapping.marks_in_tags(each.tags).are(spec.platform, spec.contract)
            ),
            key=lambda each: (not mapping.marks_in_tags(each.tags).ready, each.vmid),
        )
        for extra in found[1:]:
            self._ours(spec, extra)
            self._unmaking.remove_half(extra, spec.contract, alone=False)
        return found[0] if found else None

    def _ours(self, spec: InstanceSpec, machine: Machine) -> Record:
        """Read the configuration of a VM with our name. Errors: Rejected if it is not ours."""
        config = self._api.config(machine.node, machine.vmid)
        if config is None:
            raise TryLater(f"the VM {machine.vmid} is not to be read yet", after_s=1)
        if not mapping.marks_of(config).are(spec.platform, spec.contract):
            raise Rejected(
                f"the VM {machine.vmid} is called {spec.name} and is not ours", vmid=machine.vmid
            )
        return config

    def _locked(self, machine: Machine) -> DriverError:
        if self._census.clones_run(self._census.take()):
            return TryLater(f"the VM {machine.vmid} is being cloned", after_s=3)
        fresh = self._api.config(machine.node, machine.vmid)
        if fresh is None or not fresh.get("lock"):
            return TryLater(f"the VM {machine.vmid} was locked a moment ago", after_s=1)
        return Broken(
            f"the VM {machine.vmid} is locked ({fresh['lock']}) by a task that no longer runs; on the "
            f"node: qm unlock {machine.vmid} && qm destroy {machine.vmid}",
            vmid=machine.vmid,
        )

    # --- clone ---

    def _clone(self, spec: InstanceSpec, guests: dict[int, Machine]) -> Machine:
        template = self._template(spec, guests)
        self._room(spec)
        self._no_nameless(spec, guests)
        for vmid in mapping.ids_for(spec.contract, self._settings):
            if vmid in guests or not self._reserve(vmid, spec.contract):
                continue
            made = self._clone_to(spec, template, vmid)
            if made is not None:
                return made
            # Somebody has it: perhaps an earlier call of our own whose answer was lost.
            guests = self._census.take()
            found = self._find(spec, guests)
            if found is not None:
                return found
            self._no_nameless(spec, guests)
        raise NoCapacity(
            f"all ids from {self._settings.first_vmid} to {self._settings.last_vmid} are taken"
        )

    def _clone_to(self, spec: InstanceSpec, template: Machine, vmid: int) -> Machine | None:
        settings = self._settings
        form: dict[str, str | int | bool] = {
            "newid": vmid,
            "name": spec.name,
            "description": mapping.notes(spec, self._clock.now_ms()),
            "full": settings.full,
        }
        if settings.full:
            form["storage"] = settings.storage
        if settings.pool:
            form["pool"] = settings.pool
        if template.node != settings.node:
            form["target"] = settings.node
        try:
            upid = self._api.clone(template.node, template.vmid, form)
            done = upid is not None and self._tasks.finish(upid, settings.clone_wait_s)
        except TryLater:
            raise  # it may be there and show no name: remember whose it is
        except DriverError:
            self._release(vmid)
            raise
        if upid is not None and not done:
            raise TryLater(f"the clone to VM {vmid} is under way", after_s=5, vmid=vmid)
        self._release(vmid)
        if upid is None:
            return None
        return Machine(vmid, settings.node, spec.name, "", "stopped", "", template=False)

    def _reserve(self, vmid: int, contract: str) -> bool:
        """Note for whom an id is tried; False if it is for another contract."""
        with self._lock:
            return self._tried.setdefault(vmid, contract) == contract

    def _release(self, vmid: int) -> None:
        with self._lock:
            self._tried.pop(vmid, None)

    def _template(self, spec: InstanceSpec, guests: dict[int, Machine]) -> Machine:
        vmid = self._settings.images.get(spec.image)
        if vmid is None:
            known = ", ".join(sorted(self._settings.images))
            raise Rejected(f"the image {spec.image!r} is not in the settings; known: {known}")
        template = guests.get(vmid)
        if template is None:
            raise Rejected(f"the template of {spec.image!r}, VM {vmid}, is gone", vmid=vmid)
        if not template.template:
            raise Rejected(f"the VM {vmid} for {spec.image!r} is no template", vmid=vmid)
        return template

    def _room(self, spec: InstanceSpec) -> None:
        name = self._settings.storage
        storage = self._api.storage(self._settings.node, name)
        if storage is None or not int(storage.get("active") or 0):
            raise TryLater(f"the storage {name} is not active on the node", after_s=30)
        if int(storage.get("avail") or 0) < spec.disk_gib * GIB:
            free_gib = int(storage.get("avail") or 0) // GIB
            raise NoCapacity(
                f"the storage {name} has {free_gib} GiB free and the machine takes {spec.disk_gib}"
            )

    def _no_nameless(self, spec: InstanceSpec, guests: dict[int, Machine]) -> None:
        """Wait for clones that show no name yet: one may be ours, from a call whose answer was lost.

        Where no clone runs, and still none has a name, they are left from a crash of the node.
        """
        nameless = self._nameless(spec.contract, guests)
        if not nameless:
            return
        running = self._census.clones_run(guests)
        if running or nameless != self._nameless(spec.contract, self._census.take()):
            vmid = min(nameless)
            raise TryLater(f"a clone to VM {vmid} shows no name yet", after_s=3)

    def _nameless(self, contract: str, guests: dict[int, Machine]) -> set[int]:
        """Return the ids that may be this contract's and show no name."""
        with self._lock:
            tried = dict(self._tried)
            for vmid in tried:
                if vmid in guests and guests[vmid].name:
                    del self._tried[vmid]
        return {
            each.vmid
            for each in guests.values()
            if not each.name
            and self._settings.owns(each.vmid)
            and tried.get(each.vmid, contract) == contract
        }

    # --- complete and start ---

    def _complete(
        self, spec: InstanceSpec, machine: Machine, config: Record, data: str
    ) -> tuple[Machine, Marks]:
        disk, size_gib = mapping.boot_disk(config)
        if not disk:
            raise Rejected(f"the template of {spec.image!r} has no boot disk of a known size")
        if size_gib > spec.disk_gib:
            raise Rejected(
                f"the template of {spec.image!r} has a disk of {size_gib} GiB, more than {spec.disk_gib}"
            )
        if size_gib < spec.disk_gib:
            upid = self._api.resize(machine.node, machine.vmid, disk, spec.disk_gib)
            self._done(upid, "the disk is being resized")
        seed = self._upload(spec, machine, data)
        fresh = self._ours(spec, machine)
        if mapping.marks_of(fresh).ready:
            raise TryLater("another agent completed this machine just now", after_s=1)
        marks = Marks(
            platform=mapping.mark(spec.platform),
            contract=mapping.mark(spec.contract),
            attempt=mapping.mark(spec.attempt),
            made_at_ms=mapping.marks_of(fresh).made_at_ms or self._clock.now_ms(),
            ready=True,
        )
        form = mapping.config_form(spec, fresh, seed=seed, marks=marks, settings=self._settings)
        self._api.configure(machine.node, machine.vmid, form)
        self._unmaking.remove_seeds(machine.node, spec.contract, keep=seed)
        try:
            return self._started(machine), marks
        except _DEFINITE:  # complete, and yet this node cannot run it
            with contextlib.suppress(DriverError):
                self._unmaking.remove(machine, spec.contract)
            raise

    def _upload(self, spec: InstanceSpec, machine: Machine, data: str) -> str:
        """Put the first-start drive on its storage, under a name of its own for each try.

        So no try takes away what another one has attached; the rest goes when one is complete.
        """
        settings, node = self._settings, machine.node
        storage, mac = settings.seed_storage, mapping.mac_of(spec.contract)
        address = settings.address_of(machine.vmid)
        network = Network(mac, address, settings.prefix, settings.gateway, settings.dns)
        image = first_start_drive(
            data,
            instance=f"{spec.contract}-{spec.attempt}",
            hostname=spec.hostname,
            network=network,
        )
        name = mapping.seed_name(spec.platform, spec.contract, secrets.token_hex(8))
        upid = self._api.upload_iso(node, storage, name, image)
        self._done(upid, "the first-start drive is on its way")
        return f"{storage}:iso/{name}"

    def _started(self, machine: Machine) -> Machine:
        status = self._api.status(machine.node, machine.vmid)
        if status is None:
            raise TryLater(f"the VM {machine.vmid} went away just now", after_s=1)
        if status.get("status") != "running":
            upid = self._api.power(machine.node, machine.vmid, "start")
            self._done(upid, "the machine is being started")
        return replace(machine, status="running")

    def _done(self, upid: str, still: str) -> None:
        if not self._tasks.finish(upid, self._settings.task_wait_s):
            raise TryLater(still, after_s=3)

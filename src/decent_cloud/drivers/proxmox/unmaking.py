"""The way back: stop, remove the first-start drive, remove the VM; the VM last, so that it marks the rest."""

from __future__ import annotations

from decent_cloud.drivers.contract import Rejected
from decent_cloud.drivers.proxmox import mapping
from decent_cloud.drivers.proxmox.api import ProxmoxApi
from decent_cloud.drivers.proxmox.mapping import Machine
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings
from decent_cloud.drivers.proxmox.tasks import Tasks


class Unmaking:
    """Removes machines of one platform, after looking once more whose they are."""

    def __init__(
        self, api: ProxmoxApi, tasks: Tasks, settings: ProxmoxSettings, platform: str
    ) -> None:
        self._api = api
        self._tasks = tasks
        self._settings = settings
        self._platform = platform

    def remove(self, machine: Machine, contract: str) -> bool:
        """Remove a contract's VM and what belongs to it; True once Proxmox says that it is gone.

        Errors: Rejected if it is not this contract's; TryLater while it is locked.
        """
        config = self._api.config(machine.node, machine.vmid)
        if config is None:
            self.remove_seeds(machine.node, contract)
            return True
        if not mapping.marks_of(config).are(self._platform, contract):
            raise Rejected(f"the VM {machine.vmid} is not this contract's", vmid=machine.vmid)
        status = self._api.status(machine.node, machine.vmid) or {}
        if status.get("status") == "running":
            upid = self._api.power(machine.node, machine.vmid, "stop")
            if not self._tasks.finish(upid, self._settings.task_wait_s):
                return False
        self.remove_seeds(machine.node, contract)
        upid_ = self._api.delete(machine.node, machine.vmid)
        if upid_ is not None and not self._tasks.finish(upid_, self._settings.task_wait_s):
            return False
        return self._api.config(machine.node, machine.vmid) is None

    def remove_half(self, machine: Machine, contract: str, *, alone: bool) -> None:
        """Remove a clone of ours that never became complete; `alone` if the contract has no other VM.

        One that somebody completes meanwhile is left: what runs Proxmox itself does not remove.
        """
        config = self._api.config(machine.node, machine.vmid) or {}
        marks = mapping.marks_of(config)
        if marks.ready or config.get("lock") or not marks.are(self._platform, contract):
            return
        if int(config.get("protection") or 0):  # its template's
            self._api.configure(machine.node, machine.vmid, {"protection": False})
        if alone:
            self.remove_seeds(machine.node, contract)
        upid = self._api.delete(machine.node, machine.vmid)
        if upid is not None:
            self._tasks.finish(upid, self._settings.task_wait_s)

    def remove_seeds(self, node: str, contract: str, *, keep: str = "") -> None:
        """Remove the first-start drives of a contract but the one in use."""
        storage = self._settings.seed_storage
        prefix = f"{storage}:iso/{mapping.seed_prefix(self._platform, contract)}"
        for volume in self._api.images(node, storage, "iso"):
            if volume.startswith(prefix) and volume != keep:
                upid = self._api.remove_volume(node, storage, volume)
                self._tasks.finish(upid, self._settings.task_wait_s)

"""Which VMs the cluster has: read so that emptiness means emptiness and nobody's VM is taken for ours."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.drivers.contract import AuthFailed, TryLater
from decent_cloud.drivers.proxmox import mapping
from decent_cloud.drivers.proxmox.api import ProxmoxApi
from decent_cloud.drivers.proxmox.mapping import Machine
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings

_TRIES = 3
_CLONE_TASKS = frozenset({"qmclone", "qmcreate", "qmrestore"})


class Census:
    """Reads lists of VMs."""

    def __init__(self, api: ProxmoxApi, settings: ProxmoxSettings) -> None:
        self._api = api
        self._settings = settings

    def take(self) -> dict[int, Machine]:
        """List all guests of the cluster by id; those of our range from the nodes themselves.

        The cluster's list knows every id at once but names and tags late. A list leaves out what the
        token may not see, so the permission is read with it. Errors: AuthFailed, TryLater, Broken.
        """
        if "VM.Audit" not in self._api.permissions("/vms"):
            raise AuthFailed(
                "the token may not see VMs; give it VM.Audit on /vms", privilege="VM.Audit"
            )
        for _ in range(_TRIES):
            listed = self._api.guests()
            found = {each.vmid: each for each in map(mapping.machine_of, listed)}
            vms = {int(each["vmid"]) for each in listed if each.get("type", "qemu") == "qemu"}
            inside = {vmid for vmid in vms if self._settings.owns(vmid)}
            seen = self._on_nodes({self._settings.node, *(found[vmid].node for vmid in inside)})
            missing = inside - seen.keys()
            if not missing or not missing & self._ids():
                kept = {vmid: each for vmid, each in found.items() if vmid not in missing}
                return {**kept, **seen}
        raise TryLater("VMs move between nodes faster than they can be listed")

    def node_of(self, vmid: int) -> str:
        """Return the node that has a VM now, empty if the cluster has none with this id."""
        machine = self.take().get(vmid)
        return machine.node if machine else ""

    def clones_run(self, guests: Mapping[int, Machine]) -> bool:
        """Tell whether our token clones something right now, on the nodes that may."""
        templates = [guests[vmid] for vmid in self._settings.images.values() if vmid in guests]
        return any(
            each.get("type") in _CLONE_TASKS and not each.get("status") and not each.get("endtime")
            for node in sorted({self._settings.node, *(each.node for each in templates)})
            for each in self._api.running_tasks(node)
        )

    def _on_nodes(self, nodes: set[str]) -> dict[int, Machine]:
        return {
            machine.vmid: machine
            for node in sorted(nodes)
            for machine in (mapping.machine_of(each, node) for each in self._api.machines(node))
        }

    def _ids(self) -> set[int]:
        return {int(each["vmid"]) for each in self._api.guests()}

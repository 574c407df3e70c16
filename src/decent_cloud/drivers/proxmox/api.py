"""The calls this driver makes to Proxmox VE; each may raise the contract's five errors."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from decent_cloud.drivers.contract import Broken, Rejected, Secret
from decent_cloud.drivers.parts.rest import Answered, Query, RestClient, Upload
from decent_cloud.drivers.proxmox import errors
from decent_cloud.kernel.errors import Invalid

Record = dict[str, Any]
Form = Mapping[str, str | int | bool]
ROOT_CA = "pve-root-ca.pem"
_REFUSED = (400, 403, 500)


class ProxmoxApi:
    """One cluster behind one API token."""

    def __init__(self, origin: str, token: Secret, timeout_s: float, ca_file: str = "") -> None:
        self._rest = RestClient(
            f"{origin.rstrip('/')}/api2/json",
            errors.judge,
            headers={"Authorization": f"PVEAPIToken={token.reveal()}"},
            timeout_s=timeout_s,
            verify=_trust(ca_file) if ca_file else None,
        )

    def close(self) -> None:
        """Release connections."""
        self._rest.close()

    # --- the cluster ---

    def version(self) -> str:
        """Read the version, such as 9.1.3."""
        return str(self._get("/version").get("version", ""))

    def fingerprint(self, node: str) -> str:
        """Read the fingerprint of the cluster's own certificate authority."""
        for each in self._list(f"/nodes/{quote(node)}/certificates/info"):
            if each.get("filename") == ROOT_CA and each.get("fingerprint"):
                return str(each["fingerprint"])
        raise Broken(f"the node {node} does not show {ROOT_CA} among its certificates")

    def permissions(self, path: str) -> Mapping[str, bool]:
        """Read what our token may do on a path: privilege to whether it holds below the path too."""
        answered = self._rest.get("/access/permissions", {"path": path})
        found = _data(answered)
        if not isinstance(found, dict):
            raise Broken("the answer to GET /access/permissions is no map")
        return {name: bool(int(below)) for name, below in found.get(path, {}).items()}

    def guests(self) -> list[Record]:
        """List all VMs and containers of the cluster that the token may see."""
        return self._list("/cluster/resources", {"type": "vm"})

    # --- one node ---

    def machines(self, node: str) -> list[Record]:
        """List a node's VMs from their configurations as they are now."""
        return self._list(f"/nodes/{quote(node)}/qemu")

    def running_tasks(self, node: str) -> list[Record]:
        """List the tasks of our token that run on a node."""
        return self._list(f"/nodes/{quote(node)}/tasks", {"source": "active", "limit": 500})

    def node_status(self, node: str) -> Record:
        """Read a node's processors and memory."""
        return self._get(f"/nodes/{quote(node)}/status")

    def bridges(self, node: str) -> list[Record]:
        """List a node's bridges and virtual networks."""
        return self._list(f"/nodes/{quote(node)}/network", {"type": "any_bridge"})

    def task(self, upid: str) -> Record:
        """Read a task's status."""
        return self._get(f"/nodes/{quote(node_of(upid))}/tasks/{quote(upid, safe='')}/status")

    # --- storages ---

    def storage(self, node: str, storage: str) -> Record | None:
        """Read a storage's state on a node, None if the token sees no such storage there."""
        found = self._list(f"/nodes/{quote(node)}/storage", {"storage": storage})
        return next((each for each in found if each.get("storage") == storage), None)

    def images(self, node: str, storage: str, content: str) -> list[str]:
        """List the volume ids of one kind of content."""
        path = f"/nodes/{quote(node)}/storage/{quote(storage)}/content"
        return [str(each["volid"]) for each in self._list(path, {"content": content})]

    def upload_iso(self, node: str, storage: str, name: str, image: bytes) -> str:
        """Put an ISO image on a storage; returns the task."""
        files: Mapping[str, Upload] = {"filename": (name, image, "application/octet-stream")}
        path = f"/nodes/{quote(node)}/storage/{quote(storage)}/upload"
        return _upid(self._rest.call("POST", path, form={"content": "iso"}, files=files))

    def download(self, node: str, storage: str, form: Form) -> str:
        """Let the node fetch an image from the Internet; returns the task."""
        return self._task(
            "POST", f"/nodes/{quote(node)}/storage/{quote(storage)}/download-url", form
        )

    def remove_volume(self, node: str, storage: str, volume: str) -> str:
        """Remove a volume; returns the task, empty where there was none."""
        path = f"/nodes/{quote(node)}/storage/{quote(storage)}/content/{quote(volume, safe='')}"
        done = _data(self._rest.call("DELETE", path))
        return str(done or "")

    # --- one VM ---

    def config(self, node: str, vmid: int) -> Record | None:
        """Read a VM's configuration, pending changes included; None if Proxmox says there is none."""
        return self._maybe(f"{_vm(node, vmid)}/config")

    def status(self, node: str, vmid: int) -> Record | None:
        """Read what a VM does now; None if Proxmox says there is no such VM."""
        return self._maybe(f"{_vm(node, vmid)}/status/current")

    def make(self, node: str, form: Form) -> str | None:
        """Make a VM; returns the task, None if the id is taken."""
        return self._unless_taken(f"/nodes/{quote(node)}/qemu", form)

    def clone(self, node: str, template: int, form: Form) -> str | None:
        """Clone a template; returns the task, None if the new id is taken."""
        return self._unless_taken(f"{_vm(node, template)}/clone", form)

    def configure(self, node: str, vmid: int, form: Form) -> None:
        """Change a VM's configuration at once."""
        _data(self._rest.call("PUT", f"{_vm(node, vmid)}/config", form=_encoded(form)))

    def resize(self, node: str, vmid: int, disk: str, size_gib: int) -> str:
        """Grow a disk; returns the task, empty where it has that size already."""
        form = {"disk": disk, "size": f"{size_gib}G"}
        answered = self._rest.call("PUT", f"{_vm(node, vmid)}/resize", form=form)
        return str(_data(answered) or "")

    def power(self, node: str, vmid: int, verb: str, form: Form | None = None) -> str:
        """Start, stop or shut down a VM; returns the task."""
        return self._task("POST", f"{_vm(node, vmid)}/status/{verb}", form or {})

    def delete(self, node: str, vmid: int) -> str | None:
        """Remove a VM with its disks, backup jobs and HA entry; returns the task, None if it is gone."""
        query: Query = {"purge": 1, "destroy-unreferenced-disks": 1}
        answered = self._rest.call("DELETE", _vm(node, vmid), query=query, allow=_REFUSED)
        if errors.is_missing(answered):
            return None
        return _upid(_judged(answered))

    def make_template(self, node: str, vmid: int) -> str:
        """Turn a stopped VM into a template; returns the task."""
        return self._task("POST", f"{_vm(node, vmid)}/template", {})

    # --- inside a guest ---

    def interfaces(self, node: str, vmid: int) -> list[Record] | None:
        """Ask the guest agent for network interfaces; None while it does not answer."""
        path = f"{_vm(node, vmid)}/agent/network-get-interfaces"
        answered = self._rest.get(path, allow=_REFUSED)
        if errors.is_agent_down(answered) or errors.is_missing(answered):
            return None
        found = _data(_judged(answered))
        if isinstance(found, dict) and isinstance(found.get("result"), list):
            return [each for each in found["result"] if isinstance(each, dict)]
        raise Broken("the guest agent's interfaces are no list")

    def set_password(self, node: str, vmid: int, user: str, hashed: str) -> None:
        """Let the guest agent set a user's password, given as a crypt hash."""
        form: Form = {"username": user, "password": hashed, "crypted": True}
        path = f"{_vm(node, vmid)}/agent/set-user-password"
        _data(self._rest.call("POST", path, form=_encoded(form)))

    def _get(self, path: str) -> Record:
        found = _data(self._rest.get(path))
        if isinstance(found, dict):
            return found
        raise Broken(f"the answer to GET {path} is no object")

    def _list(self, path: str, query: Query | None = None) -> list[Record]:
        found = _data(self._rest.get(path, query))
        if isinstance(found, list) and all(isinstance(each, dict) for each in found):
            return found
        raise Broken(f"the answer to GET {path} is no list")

    def _maybe(self, path: str) -> Record | None:
        answered = self._rest.get(path, allow=_REFUSED)
        if errors.is_missing(answered):
            return None
        found = _data(_judged(answered))
        if isinstance(found, dict):
            return found
        raise Broken(f"the answer to GET {path} is no object")

    def _unless_taken(self, path: str, form: Form) -> str | None:
        answered = self._rest.call("POST", path, form=_encoded(form), allow=_REFUSED)
        if errors.is_taken(answered):
            return None
        return _upid(_judged(answered))

    def _task(self, method: str, path: str, form: Form) -> str:
        return _upid(self._rest.call(method, path, form=_encoded(form)))


def node_of(upid: str) -> str:
    """Return the node that a task runs on, which its id names."""
    parts = upid.split(":")
    if len(parts) < 8 or parts[0] != "UPID":
        raise Broken("the answer holds no task id where one belongs")
    return parts[1]


def _vm(node: str, vmid: int) -> str:
    return f"/nodes/{quote(node)}/qemu/{vmid}"


def _encoded(form: Form) -> dict[str, str]:
    """Write a form as Proxmox reads it; an empty one still gets a body and so a Content-Length."""
    return {
        name: str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in form.items()
    }


def _judged(answered: Answered) -> Answered:
    if answered.ok:
        return answered
    raise errors.judge(answered)


def _data(answered: Answered) -> Any:
    if isinstance(answered.body, dict) and "data" in answered.body:
        return answered.body["data"]
    raise Broken(f"the answer to {answered.method} {answered.path} lacks 'data'")


def _upid(answered: Answered) -> str:
    upid = str(_data(answered))
    node_of(upid)
    return upid


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"the certificate in {ca_file} cannot be read", field="ca_file") from error


def read_token(text: str) -> Secret:
    """Read a token as Proxmox shows it: user@realm!name=secret. Raises Rejected."""
    token = text.strip().removeprefix("PVEAPIToken=")
    name, equals, secret = token.partition("=")
    if not equals or not secret or "@" not in name or "!" not in name or not token.isascii():
        raise Rejected("an API token reads user@realm!name=secret")
    return Secret(token)

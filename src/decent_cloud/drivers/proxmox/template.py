"""Makes a template out of a distribution's cloud image, over the API alone, and goes on where it stopped.

Cloud images lack the guest agent. So the image boots once with a first-start drive that installs it,
forgets who it was, and switches itself off; then the VM becomes a template.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from decent_cloud.drivers.contract import Broken, Rejected, TryLater
from decent_cloud.drivers.proxmox import mapping
from decent_cloud.drivers.proxmox.access import open_api
from decent_cloud.drivers.proxmox.api import ProxmoxApi, Record
from decent_cloud.drivers.proxmox.census import Census
from decent_cloud.drivers.proxmox.seed import Network, first_start_drive
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings
from decent_cloud.drivers.proxmox.tasks import Tasks

_NOTE = "dev.decent.template"
_DOWNLOAD_WAIT_S = 1_800
_IMPORT_WAIT_S = 900
_PREPARE_WAIT_S = 900
_POLL_S = 5.0
_IMAGES = re.compile(r"\.(qcow2|raw|vmdk)$")
_FORGET = (
    "systemctl enable qemu-guest-agent.service || true",
    "rm -f /etc/ssh/ssh_host_*",
    "cloud-init clean --logs",
    "truncate -s 0 /etc/machine-id",
    "sync",
)
# Privileges that only this takes; the driver itself works without them.
EXTRA_PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    "/nodes/{node}": ("Sys.AccessNetwork",),
    "/storage/{seed_storage}": ("Datastore.AllocateSpace",),
}


@dataclass(frozen=True, slots=True)
class TemplateRequest:
    """What to make: `url` of a cloud image (https), its checksum, the id and name of the template.

    `checksum` is `sha256:<hex>` or `sha512:<hex>`, best from another place than the image; empty to
    trust the connection. `address` is a free one of the network where there is no DHCP.
    """

    vmid: int
    name: str
    url: str
    checksum: str = ""
    address: str = ""
    storage: str = ""  # where the download goes, with content `import`; the seed storage if empty


def make_template(
    settings: ProxmoxSettings,
    request: TemplateRequest,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Make the template, or go on with one begun earlier; returns its VM id.

    Says what it does in lines for a person. Takes minutes.
    Errors: Rejected for an id that something else has or a wrong checksum; AuthFailed naming the
    privilege; Broken where the image did not switch itself off; TryLater.
    """
    _check(settings, request)
    api = open_api(settings)
    try:
        return _Template(api, settings, request, say, pause).make()
    finally:
        api.close()


class _Template:
    def __init__(
        self,
        api: ProxmoxApi,
        settings: ProxmoxSettings,
        request: TemplateRequest,
        say: Callable[[str], None],
        pause: Callable[[float], None],
    ) -> None:
        self._api = api
        self._tasks = Tasks(api, pause)
        self._settings = settings
        self._request = request
        self._say = say
        self._pause = pause
        self._node = settings.node

    def make(self) -> int:
        vmid = self._request.vmid
        if self._config() is None:
            self._import_image(self._download())
        config = self._config() or {}
        if int(config.get("template") or 0):
            self._say(f"VM {vmid} is a template")
            return vmid
        if config.get("lock"):
            raise TryLater(f"the VM {vmid} is locked ({config['lock']})", after_s=10)
        if mapping.SEED_DRIVE in config or _prepared(config) != "yes":
            self._prepare(config)
        self._say("turning it into a template")
        self._wait(self._api.make_template(self._node, vmid), _IMPORT_WAIT_S)
        return vmid

    def _config(self) -> Record | None:
        """Read the VM with the template's id. Errors: Rejected if it is something else."""
        vmid = self._request.vmid
        machine = Census(self._api, self._settings).take().get(vmid)
        if machine is None:
            return None
        config = self._api.config(machine.node, vmid) or {}
        ours = f"{_NOTE}: {self._request.name}" in str(config.get("description") or "")
        if machine.node != self._node or not (ours or config.get("lock")):
            raise Rejected(f"the VM {vmid} is something else ({machine.name})", vmid=vmid)
        return config

    def _download(self) -> str:
        storage = self._request.storage or self._settings.seed_storage
        name = urlsplit(self._request.url).path.rpartition("/")[2]
        name = name if _IMAGES.search(name) else f"{name.rpartition('.')[0] or name}.qcow2"
        volume = f"{storage}:import/{name}"
        if volume in self._api.images(self._node, storage, "import"):
            return volume
        self._say(f"the node fetches {self._request.url}")
        form = {"content": "import", "filename": name, "url": self._request.url}
        if self._request.checksum:
            algorithm, _, digest = self._request.checksum.partition(":")
            form |= {"checksum-algorithm": algorithm, "checksum": digest}
        try:
            self._wait(self._api.download(self._node, storage, form), _DOWNLOAD_WAIT_S)
        except Broken as error:
            if "checksum mismatch" in error.message:
                raise Rejected(error.message) from error
            raise
        return volume

    def _import_image(self, volume: str) -> None:
        self._say(f"importing it as VM {self._request.vmid}")
        form: dict[str, str | int | bool] = {
            "vmid": self._request.vmid,
            "name": self._request.name,
            "description": f"{_NOTE}: {self._request.name}",
            "ostype": "l26",
            "cores": 2,
            "memory": 2_048,
            "agent": "enabled=1",
            "scsihw": "virtio-scsi-single",
            "scsi0": f"{self._settings.storage}:0,import-from={volume},discard=on",
            "boot": "order=scsi0",
            "serial0": "socket",
            "vga": "serial0",
            "net0": self._net(),
        }
        upid = self._api.make(self._node, form)
        if upid is None:
            raise TryLater(f"the VM {self._request.vmid} was made just now", after_s=5)
        self._wait(upid, _IMPORT_WAIT_S)

    def _prepare(self, config: Record) -> None:
        """Boot once to install the guest agent; what was begun is waited for."""
        vmid, storage = self._request.vmid, self._settings.seed_storage
        volume = f"{storage}:iso/dc-template-{vmid}.iso"
        if mapping.SEED_DRIVE not in config:
            self._say("installing the guest agent: the image boots once and switches itself off")
            if volume in self._api.images(self._node, storage, "iso"):
                self._wait(self._api.remove_volume(self._node, storage, volume), 60)
            name = volume.rpartition("/")[2]
            upid = self._api.upload_iso(self._node, storage, name, self._drive())
            self._wait(upid, 60)
            drive = {mapping.SEED_DRIVE: f"{volume},media=cdrom"}
            self._api.configure(self._node, vmid, {**drive, "description": self._note("attached")})
        if _prepared(self._config() or {}) != "begun":
            status = self._api.status(self._node, vmid) or {}
            if status.get("status") == "stopped":
                self._wait(self._api.power(self._node, vmid, "start"), 60)
            self._api.configure(self._node, vmid, {"description": self._note("begun")})
        self._until_off()
        form = {"delete": mapping.SEED_DRIVE, "description": self._note("yes")}
        self._api.configure(self._node, vmid, form)
        self._wait(self._api.remove_volume(self._node, storage, volume), 60)

    def _until_off(self) -> None:
        waited_s = 0.0
        while True:
            status = self._api.status(self._node, self._request.vmid) or {}
            if status.get("status") == "stopped":
                return
            if waited_s >= _PREPARE_WAIT_S:
                raise Broken(
                    f"the VM {self._request.vmid} did not switch itself off; look at its console: it "
                    "needs an address and the Internet to install qemu-guest-agent. Destroy it to begin anew"
                )
            self._pause(_POLL_S)
            waited_s += _POLL_S

    def _drive(self) -> bytes:
        settings = self._settings
        network = Network(
            _mac(self._request.vmid),
            self._request.address,
            settings.prefix,
            settings.gateway,
            settings.dns,
        )
        return first_start_drive(
            preparing_config(),
            instance=f"dc-template-{self._request.vmid}",
            hostname=self._request.name,
            network=network,
        )

    def _net(self) -> str:
        vlan = f",tag={self._settings.vlan}" if self._settings.vlan else ""
        return f"virtio={_mac(self._request.vmid)},bridge={self._settings.bridge}{vlan}"

    def _note(self, prepared: str) -> str:
        return f"{_NOTE}: {self._request.name}\n\nprepared: {prepared}"

    def _wait(self, upid: str, most_s: float) -> None:
        if not self._tasks.finish(upid, most_s):
            raise TryLater("a task takes very long; run this again to go on", after_s=60)


def preparing_config() -> str:
    """Return the cloud-config that installs the guest agent, forgets the machine and switches off."""
    config: dict[str, Any] = {
        "package_update": True,
        "packages": ["qemu-guest-agent"],
        "runcmd": list(_FORGET),
        "power_state": {
            "mode": "poweroff",
            "condition": "test -x /usr/sbin/qemu-ga -o -x /usr/bin/qemu-ga",
        },
    }
    return "#cloud-config\n" + json.dumps(config, indent=1)


def _check(settings: ProxmoxSettings, request: TemplateRequest) -> None:
    if not request.url.startswith("https://"):
        raise Rejected("the image's address must begin with https://")
    if settings.owns(request.vmid):
        raise Rejected(f"the id {request.vmid} lies in the range of machines' ids")
    if request.checksum and not re.fullmatch(r"sha(256|512):[0-9a-f]{64,128}", request.checksum):
        raise Rejected("a checksum reads sha256:<hex> or sha512:<hex>")
    if settings.first_address and not request.address:
        raise Rejected("this network has fixed addresses: give a free one for the first boot")


def _prepared(config: Record) -> str:
    found = re.search(r"^prepared: (\w+)", str(config.get("description") or ""), re.MULTILINE)
    return found.group(1) if found else ""


def _mac(vmid: int) -> str:
    return mapping.mac_of(f"template/{vmid}")

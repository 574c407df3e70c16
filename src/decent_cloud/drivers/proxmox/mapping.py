"""How the contract's words read at Proxmox: names, tags, notes, ids, states, addresses."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from decent_cloud.drivers.contract import (
    LABEL_ATTEMPT,
    LABEL_CONTRACT,
    LABEL_PLATFORM,
    Handle,
    InstanceSpec,
    Observation,
)
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

DRIVER = "proxmox"
SSH_PORT = 22
SEED_DRIVE = "ide2"
_NAME_PREFIX = "dc-"
_PLAIN_TAG = "decent"
# Tags hold lower-case letters, digits and - . _ only, and Proxmox may fold their case.
_PLATFORM, _CONTRACT, _ATTEMPT, _MADE, _HOST = "dcp-", "dcc-", "dca-", "dct-", "dch-"
_TAG_TEXT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_NOTE = re.compile(r"^(dev\.decent\.[a-z-]+): (\S+)\s*$", re.MULTILINE)
_LABEL_MADE = "dev.decent.made-ms"
_DISKS = re.compile(r"(scsi|virtio|sata|ide)\d+")
_SIZE = re.compile(r"(?:^|,)size=(\d+)([KMGT]?)")
_UNIT_KIB = {"": 1 / 1_024, "K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}
_KIB_PER_GIB = 1 << 20

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """One VM as lists show it; `name` is empty while a clone has none yet."""

    vmid: int
    node: str
    name: str
    tags: str
    status: str
    lock: str
    template: bool


@dataclass(frozen=True, slots=True)
class Marks:
    """What a VM says about whose it is; `ready` once everything is set and it may start."""

    platform: str = ""
    contract: str = ""
    attempt: str = ""
    made_at_ms: int = 0
    host: str = ""
    ready: bool = False

    def are(self, platform: str, contract: str) -> bool:
        """Tell whether these are the marks of a platform's contract."""
        return (self.platform, self.contract) == (mark(platform), mark(contract))


def mark(text: str) -> str:
    """Return how a text is written in tags: itself if it fits, else 40 digits of its SHA-256."""
    if _TAG_TEXT.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def machine_of(record: Record, node: str = "") -> Machine:
    """Read one entry of a list of VMs."""
    vmid = int(record["vmid"])
    name = str(record.get("name") or "")
    return Machine(
        vmid=vmid,
        node=node or str(record.get("node") or ""),
        name="" if name == f"VM {vmid}" else name,
        tags=str(record.get("tags") or ""),
        status=str(record.get("status") or ""),
        lock=str(record.get("lock") or ""),
        template=bool(int(record.get("template") or 0)),
    )


def notes(spec: InstanceSpec, now_ms: int) -> str:
    """Return the notes that a clone is born with; tags come later, when it is complete."""
    values = {
        LABEL_PLATFORM: mark(spec.platform),
        LABEL_CONTRACT: mark(spec.contract),
        LABEL_ATTEMPT: mark(spec.attempt),
        _LABEL_MADE: str(now_ms),
    }
    lines = [f"{name}: {value}" for name, value in values.items()]
    return "\n\n".join(["Rented out by Decent Cloud; its agent reads these lines.", *lines])


def tags(marks: Marks) -> str:
    """Return the tags of a complete machine; none of them is a secret."""
    parts = [
        _PLAIN_TAG,
        f"{_PLATFORM}{marks.platform}",
        f"{_CONTRACT}{marks.contract}",
        f"{_ATTEMPT}{marks.attempt}",
        f"{_MADE}{marks.made_at_ms}",
        *([f"{_HOST}{marks.host}"] if marks.host else []),
    ]
    return ";".join(parts)


def tags_with_host(text: str, host: str) -> str:
    """Return tags with another address; what a provider added stays."""
    kept = [each for each in _split(text) if not each.startswith(_HOST)]
    return ";".join([*kept, f"{_HOST}{host}"])


def marks_in_tags(text: str) -> Marks:
    """Read the marks of a complete machine."""
    found: dict[str, str] = {}
    for each in _split(text):
        for prefix in (_PLATFORM, _CONTRACT, _ATTEMPT, _MADE, _HOST):
            if each.startswith(prefix):
                found[prefix] = each.removeprefix(prefix)
    if _PLATFORM not in found or _CONTRACT not in found:
        return Marks()
    return Marks(
        platform=found[_PLATFORM],
        contract=found[_CONTRACT],
        attempt=found.get(_ATTEMPT, ""),
        made_at_ms=_number(found.get(_MADE, "")),
        host=found.get(_HOST, ""),
        ready=True,
    )


def marks_in_notes(text: str) -> Marks:
    """Read the marks that a clone is born with."""
    found = dict(_NOTE.findall(text))
    return Marks(
        platform=found.get(LABEL_PLATFORM, ""),
        contract=found.get(LABEL_CONTRACT, ""),
        attempt=found.get(LABEL_ATTEMPT, ""),
        made_at_ms=_number(found.get(_LABEL_MADE, "")),
    )


def marks_of(config: Record) -> Marks:
    """Read a VM's marks: its tags once it is complete, its notes before."""
    found = marks_in_tags(str(config.get("tags") or ""))
    return found if found.ready else marks_in_notes(str(config.get("description") or ""))


def mentions(config: Record, contract: str) -> bool:
    """Tell whether anything on a VM says that it is or was this contract's."""
    texts = (
        marks_in_tags(str(config.get("tags") or "")).contract,
        marks_in_notes(str(config.get("description") or "")).contract,
    )
    return mark(contract) in texts or config.get("name") == name_of(contract)


def name_of(contract: str) -> str:
    """Return the name of a contract's VM."""
    return f"{_NAME_PREFIX}{contract}"


def is_our_name(name: str) -> bool:
    """Tell whether a name may be one of ours."""
    return name.startswith(_NAME_PREFIX)


def seed_name(platform: str, contract: str, one: str) -> str:
    """Return the file name of one first-start drive; `seed_prefix` is its beginning."""
    return f"{seed_prefix(platform, contract)}{one}.iso"


def seed_prefix(platform: str, contract: str) -> str:
    """Return what all first-start drives of a contract begin with."""
    whose = hashlib.sha256(platform.encode()).hexdigest()[:10]
    return f"{_NAME_PREFIX}{whose}-{mark(contract)}-"


def ids_for(contract: str, settings: ProxmoxSettings) -> Iterator[int]:
    """Yield the agent's ids in the order that belongs to a contract, so that a try repeats itself."""
    size = settings.last_vmid - settings.first_vmid + 1
    start = int.from_bytes(hashlib.sha256(contract.encode()).digest()[:8], "big")
    for step in range(size):
        yield settings.first_vmid + (start + step) % size


def mac_of(contract: str) -> str:
    """Return the locally administered MAC address of a contract's machine."""
    digits = hashlib.sha256(f"mac/{contract}".encode()).hexdigest()[:8].upper()
    return ":".join(["02", "DC", *(digits[at : at + 2] for at in range(0, 8, 2))])


def boot_disk(config: Record) -> tuple[str, int]:
    """Return the boot disk's name and its size in whole GiB, rounded up; ("", 0) for none."""
    order = re.search(r"order=([^,]+)", str(config.get("boot") or ""))
    named = order.group(1).split(";") if order else []
    rest = [str(config["bootdisk"])] if config.get("bootdisk") else []
    for disk in [*named, *rest, "scsi0", "virtio0", "sata0", "ide0"]:
        text = str(config.get(disk) or "")
        size = _SIZE.search(text)
        if _DISKS.fullmatch(disk) and "media=cdrom" not in text and size:
            kib = int(size.group(1)) * _UNIT_KIB[size.group(2)]
            return disk, -(-int(kib) // _KIB_PER_GIB)
    return "", 0


def config_form(
    spec: InstanceSpec, config: Record, *, seed: str, marks: Marks, settings: ProxmoxSettings
) -> dict[str, str | int | bool]:
    """Return the one change that makes a clone a complete machine; no secrets."""
    network = f"virtio={mac_of(spec.contract)},bridge={settings.bridge}"
    network += f",tag={settings.vlan}" if settings.vlan else ""
    network += ",firewall=1" if settings.firewall else ""
    cores = max(1, -(-spec.cpu_milli // 1_000))
    form: dict[str, str | int | bool] = {
        "cores": cores,
        "sockets": 1,
        "cpulimit": f"{spec.cpu_milli / 1_000:g}" if spec.cpu_milli % 1_000 else 0,
        "memory": spec.memory_mib,
        "balloon": 0,
        "agent": "enabled=1",
        "onboot": True,
        "protection": False,  # clones inherit their template's
        "net0": network,
        SEED_DRIVE: f"{seed},media=cdrom",
        "tags": ";".join([tags(marks), *_others_tags(str(config.get("tags") or ""))]),
        "digest": str(config.get("digest") or ""),
    }
    # Two drives for cloud-init would contradict each other.
    others = [
        name
        for name, value in config.items()
        if _DISKS.fullmatch(name) and "cloudinit" in str(value) and name != SEED_DRIVE
    ]
    if others:
        form["delete"] = ",".join(sorted(others))
    return form


def handle(vmid: int, node: str, name: str) -> Handle:
    """Return the handle of a VM; what its tags say decides whether it is still ours."""
    return Handle(DRIVER, {"vmid": str(vmid), "node": node, "name": name})


def observe(
    machine: Machine, contract: ContractId, marks: Marks, scope: str, host: str, detail: str = ""
) -> Observation:
    """Read one VM: it runs when Proxmox says so and it has an address."""
    state = {"running": Observed.RUNNING, "stopped": Observed.STOPPED}.get(
        machine.status, Observed.UNKNOWN
    )
    if state is Observed.RUNNING and not host:
        state, detail = Observed.CREATING, detail or "has no usable address yet"
    return Observation(
        contract=contract,
        state=state,
        scope=scope,
        handle=handle(machine.vmid, machine.node, machine.name),
        host=host,
        port=SSH_PORT,
        attempt=marks.attempt,
        created_at_ms=marks.made_at_ms,
        detail=detail or (f"locked: {machine.lock}" if machine.lock else ""),
    )


def absent(contract: ContractId, scope: str, known: Handle) -> Observation:
    """Say that the cluster has no such VM."""
    return Observation(contract, Observed.ABSENT, scope, known)


def usable_address(
    interfaces: Iterable[Record], *, fixed: str = "", private: bool = False
) -> tuple[str, str]:
    """Return the guest's address and, where it is empty, why: the fixed one once it is there.

    Without a fixed one, the first public IPv4 address, or a private one if those do.
    """
    seen: list[ipaddress.IPv4Address] = []
    for interface in interfaces:
        for each in interface.get("ip-addresses") or ():
            try:
                address = ipaddress.IPv4Address(str(each.get("ip-address")))
            except ValueError:
                continue
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                seen.append(address)
    if fixed:
        there = ipaddress.IPv4Address(fixed) in seen
        return (fixed, "") if there else ("", f"the guest does not have {fixed} yet")
    public = next((each for each in seen if each.is_global), None)
    if public is not None:
        return str(public), ""
    if not seen:
        return "", "the guest has no IPv4 address yet"
    if private:
        return str(seen[0]), ""
    return "", f"{seen[0]} is no public address; see the setting private_addresses"


def _others_tags(text: str) -> list[str]:
    """Return the tags that are not ours, such as those of the template."""
    ours = (_PLATFORM, _CONTRACT, _ATTEMPT, _MADE, _HOST)
    return [each for each in _split(text) if not each.startswith(ours) and each != _PLAIN_TAG]


def _split(text: str) -> list[str]:
    return [each for each in re.split(r"[;, ]+", text) if each]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0

"""Settings of the Proxmox VE driver."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

Name = Annotated[str, msgspec.Meta(min_length=1)]
VmId = Annotated[int, msgspec.Meta(ge=100, le=999_999_999)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]
MOST_IDS = 1_000_000


class ProxmoxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider may set.

    `token_file` holds `user@realm!name=secret`. `node` makes the machines and has the templates;
    `images` maps names that offerings may use to VM ids of templates. `first_vmid` to `last_vmid`
    belong to this agent alone. `seed_storage` holds the first-start drives (ISO content).
    With `first_address` the machine with id `first_vmid` + n gets `first_address` + n; empty: DHCP.
    """

    api: Name
    token_file: Name
    node: Name
    images: dict[str, VmId]
    first_vmid: VmId
    last_vmid: VmId
    storage: Name
    seed_storage: Name = "local"
    bridge: Name = "vmbr0"
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4_094)] = 0
    firewall: bool = False
    clone: Literal["full", "linked"] = "full"
    pool: str = ""
    private_addresses: bool = False
    first_address: str = ""
    prefix: Annotated[int, msgspec.Meta(ge=1, le=32)] = 24
    gateway: str = ""
    dns: tuple[str, ...] = ("9.9.9.9", "1.1.1.1")
    ca_file: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30
    clone_wait_s: Seconds = 60
    task_wait_s: Seconds = 30
    shutdown_wait_s: Seconds = 30

    @property
    def full(self) -> bool:
        """Tell whether clones are copies rather than layers over the template."""
        return self.clone == "full"

    def owns(self, vmid: int) -> bool:
        """Tell whether an id lies in this agent's range."""
        return self.first_vmid <= vmid <= self.last_vmid

    def address_of(self, vmid: int) -> str:
        """Return the fixed address that belongs to an id, empty with DHCP."""
        if not self.first_address:
            return ""
        return str(ipaddress.IPv4Address(self.first_address) + (vmid - self.first_vmid))


def read_settings(settings: Mapping[str, object]) -> ProxmoxSettings:
    """Read and check settings; raises Invalid naming the field."""
    parsed = codec.convert(dict(settings), ProxmoxSettings)
    if not parsed.api.startswith(("https://", "http://")):
        raise Invalid("give the address as https://host:8006", field="api")
    if not parsed.images:
        raise Invalid("at least one image is needed", field="images")
    if parsed.last_vmid < parsed.first_vmid:
        raise Invalid("the last id lies before the first", field="last_vmid")
    if parsed.last_vmid - parsed.first_vmid >= MOST_IDS:
        raise Invalid(f"a range has {MOST_IDS} ids at most", field="last_vmid")
    inside = [name for name, vmid in parsed.images.items() if parsed.owns(vmid)]
    if inside:
        raise Invalid(
            f"the template of {inside[0]!r} lies in the range of machines' ids", field="images"
        )
    if parsed.first_address:
        _check_addresses(parsed)
    return parsed


def _check_addresses(parsed: ProxmoxSettings) -> None:
    texts = {"first_address": parsed.first_address, "gateway": parsed.gateway}
    for field, text in [*texts.items(), *(("dns", each) for each in parsed.dns)]:
        try:
            ipaddress.IPv4Address(text)
        except ValueError as error:
            raise Invalid(f"{text!r} is not an IPv4 address", field=field) from error
    network = ipaddress.IPv4Network(f"{parsed.first_address}/{parsed.prefix}", strict=False)
    gateway = ipaddress.IPv4Address(parsed.gateway)
    first, last = (parsed.address_of(vmid) for vmid in (parsed.first_vmid, parsed.last_vmid))
    if ipaddress.IPv4Address(last) not in network:
        raise Invalid(
            f"the last machine would get {last}, which is not in {network}", field="last_vmid"
        )
    if ipaddress.IPv4Address(first) <= gateway <= ipaddress.IPv4Address(last):
        raise Invalid(f"{gateway} lies among the machines' addresses", field="gateway")

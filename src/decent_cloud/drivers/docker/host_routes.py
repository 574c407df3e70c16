"""Which networks this host routes to by itself, read from the kernel."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from decent_cloud.drivers.docker.mapping import BRIDGE_PREFIX

_ROUTES = Path("/proc/net/route")


def overlapping(subnets: str, routes: Path = _ROUTES) -> list[str]:
    """Return the host's networks that meet a range of ours; our bridges and the default route aside."""
    ours = ipaddress.IPv4Network(subnets)
    found = []
    for line in routes.read_text().splitlines()[1:] if routes.exists() else ():
        words = line.split()
        device, address, mask = words[0], _address(words[1]), _address(words[7])
        network = ipaddress.IPv4Network((int(address), int(mask).bit_count()))
        is_ours = device.startswith(BRIDGE_PREFIX)
        if not is_ours and network.prefixlen and network.overlaps(ours):
            found.append(f"{network} on {device}")
    return found


def _address(text: str) -> ipaddress.IPv4Address:
    """Read the kernel's hexadecimal notation, least significant byte first."""
    return ipaddress.IPv4Address(bytes.fromhex(text)[::-1])

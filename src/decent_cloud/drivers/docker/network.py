"""One bridge network per contract, from a range of our own since the engine's pools hold only about 30."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

from decent_cloud.drivers.contract import NoCapacity, Rejected
from decent_cloud.drivers.docker import mapping
from decent_cloud.drivers.docker.api import Engine, Taken
from decent_cloud.drivers.docker.settings import SUBNET_PREFIX

_TRIES = 64


def subnet(subnets: str, contract: str, attempt: int) -> ipaddress.IPv4Network:
    """Return the subnet to try at this attempt: a place by the contract's hash, then the next ones."""
    whole = ipaddress.IPv4Network(subnets)
    count = 1 << (SUBNET_PREFIX - whole.prefixlen)
    place = int.from_bytes(hashlib.sha256(contract.encode()).digest()[:8], "big") + attempt
    size = 1 << (32 - SUBNET_PREFIX)
    first = int(whole.network_address) + (place % count) * size
    return ipaddress.IPv4Network((first, SUBNET_PREFIX))


def ensure_network(engine: Engine, name: str, platform: str, contract: str, subnets: str) -> None:
    """Make the contract's network unless it is there; raises NoCapacity, Rejected for a foreign one."""
    for attempt in range(_TRIES):
        body = _body(name, platform, contract, subnet(subnets, contract, attempt))
        try:
            engine.create_network(body)
        except Taken:
            found = engine.inspect_network(name)
            if found is None:
                continue  # only the range is in use
            if not mapping.is_ours(found.get("Labels") or {}, platform, contract):
                raise Rejected(f"the network {name} exists and is not ours") from None
        return
    raise NoCapacity(f"no free subnet found in {subnets}; give the driver a larger range")


def remove_network(engine: Engine, name: str, platform: str, contract: str) -> bool:
    """Remove the contract's network if it is ours; False while something is still attached."""
    found = engine.inspect_network(name)
    if found is None or not mapping.is_ours(found.get("Labels") or {}, platform, contract):
        return True
    try:
        engine.remove_network(found["Id"])
    except Taken:
        return False
    return True


def _body(
    name: str, platform: str, contract: str, network: ipaddress.IPv4Network
) -> dict[str, Any]:
    pool = {"Subnet": str(network), "Gateway": str(network[1])}
    return {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "IPAM": {"Driver": "default", "Config": [pool]},
        "Options": {"com.docker.network.bridge.name": mapping.bridge_name(platform, contract)},
        "Labels": mapping.labels(platform, contract),
    }

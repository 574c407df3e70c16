"""Where a request comes from: the peer, or what a configured proxy says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from litestar.types import Scope

_SITE_BITS = 64  # one IPv6 customer holds at least a /64


def client_of(scope: Scope, proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the caller's address; `X-Forwarded-For` counts only from the right and only through known proxies."""
    peer = scope.get("client")
    address = _plain(peer[0]) if peer else ""
    if not proxies:
        return address
    hops = [
        hop.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]
    while hops and _is_among(address, proxies):
        address = _plain(hops.pop())
    return address


def is_loopback(address: str) -> bool:
    """Tell whether an address is this machine itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def bucket_of(address: str) -> str:
    """Return whose bucket an address shares: an IPv6 site counts as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, _SITE_BITS), strict=False))
    return address


def _plain(address: str) -> str:
    """Return an IPv4 address as such where a dual-stack socket shows it mapped into IPv6."""
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return str(mapped) if mapped else address


def _is_among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)

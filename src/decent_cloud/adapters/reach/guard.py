"""The outbound address guard: an address a user gave is resolved once, and only public unicast is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from decent_cloud.kernel.errors import Forbidden, TryLater

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
# Where clouds answer with secrets of the machine that asks; link-local ones are refused as link-local.
_METADATA: frozenset[Address] = frozenset(
    {IPv4Address("100.100.100.200"), IPv6Address("fd00:ec2::254"), IPv4Address("192.0.0.192")}
)


class AddressRefused(Forbidden):
    """This address is not one that the platform connects to."""

    code = "address_refused"


class NameUnknown(AddressRefused):
    """This host name has no address."""

    code = "host_unknown"


class ResolverSilent(TryLater):
    """Host names cannot be resolved from here right now."""

    code = "resolver_silent"


@dataclass(frozen=True, slots=True)
class Listener:
    """Where this platform itself listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Decides about addresses. `allowed` are ranges the operator opened; link-local and metadata stay shut."""

    allowed: tuple[Network, ...] = ()
    loopback: bool = False
    own: Callable[[], tuple[Listener, ...]] = tuple

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """Return the addresses of `host` that may be connected to, best first; use these, never the name again.

        Errors: AddressRefused (none may), NameUnknown, ResolverSilent.
        """
        found = await _addresses(host, port)
        fit = tuple(address for address in found if not self.refusal(address, port))
        if not fit:
            raise AddressRefused(f"{host}: {self.refusal(found[0], port)}")
        return fit

    def refusal(self, address: Address, port: int) -> str:
        """Say why an address is refused, empty if it may be connected to."""
        real = _unwrapped(address)
        if real.is_link_local or real in _METADATA:
            return "a link-local or metadata address"
        if real.is_unspecified or real.is_multicast:
            return "not a unicast address"
        if self._is_ours(real, port):
            return "the platform's own listener"
        if real.is_loopback:
            open_ = self.loopback or self._is_allowed(real)
            return "" if open_ else "a loopback address"
        if real.is_global or self._is_allowed(real):
            return ""
        return "not a public address (the operator can allow its range)"

    def _is_allowed(self, address: Address) -> bool:
        return any(address in network for network in self.allowed)

    def _is_ours(self, address: Address, port: int) -> bool:
        for listener in self.own():
            if listener.port != port:
                continue
            ours = ipaddress.ip_address(listener.host)
            if ours == address or (ours.is_unspecified and is_local(address)):
                return True
        return False


def is_local(address: Address) -> bool:
    """Tell whether this machine holds the address: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


async def _addresses(host: str, port: int) -> tuple[Address, ...]:
    try:
        return (ipaddress.ip_address(host.strip("[]")),)
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise ResolverSilent from error
        raise NameUnknown(f"{host}: no such host name") from error
    except UnicodeError as error:
        raise NameUnknown(f"{host}: not a host name") from error
    return tuple(dict.fromkeys(ipaddress.ip_address(row[4][0]) for row in rows))


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one really leads to."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address

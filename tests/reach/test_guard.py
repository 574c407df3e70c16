"""Which addresses the platform connects to: public unicast, and what its operator opened."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from decent_cloud.adapters.reach.guard import (
    AddressGuard,
    AddressRefused,
    Listener,
    NameUnknown,
    ResolverSilent,
    is_local,
)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",
        "::",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "169.254.1.1",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    guard = AddressGuard()
    assert guard.refusal(ip_address(address), 22)
    with pytest.raises(AddressRefused):
        asyncio.run(guard.resolve(address, 22))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_fine(address: str) -> None:
    assert asyncio.run(AddressGuard().resolve(address, 22)) == (ip_address(address),)


def test_an_operator_opens_ranges_but_never_link_local_or_metadata() -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    guard = AddressGuard(allowed=everything)
    assert not guard.refusal(ip_address("10.1.2.3"), 22)
    assert not guard.refusal(ip_address("127.0.0.1"), 22)
    for address in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "224.0.0.1"):
        assert guard.refusal(ip_address(address), 22)
    narrow = AddressGuard(allowed=(ip_network("10.1.0.0/16"),))
    assert not narrow.refusal(ip_address("10.1.2.3"), 22)
    assert narrow.refusal(ip_address("10.2.0.1"), 22)


def test_development_looks_at_loopback_but_not_at_itself() -> None:
    guard = AddressGuard(loopback=True, own=lambda: (Listener("127.0.0.1", 8080),))
    assert not guard.refusal(ip_address("127.0.0.1"), 22)
    assert not guard.refusal(ip_address("::1"), 22)
    assert "own listener" in guard.refusal(ip_address("127.0.0.1"), 8080)
    assert "own listener" in guard.refusal(ip_address("::ffff:127.0.0.1"), 8080)
    anywhere = AddressGuard(loopback=True, own=lambda: (Listener("0.0.0.0", 8080),))
    assert "own listener" in anywhere.refusal(ip_address("127.0.0.2"), 8080)
    assert not anywhere.refusal(ip_address("8.8.8.8"), 8080)


def test_names_are_resolved_once_and_filtered() -> None:
    guard = AddressGuard(loopback=True)
    found = asyncio.run(guard.resolve("localhost", 22))
    assert all(address.is_loopback for address in found)
    with pytest.raises(AddressRefused, match="loopback"):
        asyncio.run(AddressGuard().resolve("localhost", 22))


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 300, "ü" * 80, "a b"])
def test_a_name_without_an_address_is_told_apart_from_a_refused_one(name: str) -> None:
    # Offline, some of these are found out only by a resolver that does not answer.
    with pytest.raises((NameUnknown, ResolverSilent)):
        asyncio.run(AddressGuard().resolve(name, 22))


def test_what_this_machine_holds_is_known_by_binding() -> None:
    assert is_local(ip_address("127.0.0.1"))
    assert not is_local(ip_address("8.8.8.8"))

"""The first-start drive of a machine: a NoCloud ISO image that cloud-init reads at the first boot.

ISO 9660 (ECMA-119) with a Joliet tree, whose names keep their lower case. Proxmox's own cloud-init
drive takes neither host keys nor an offering's script, except from files that its API cannot write.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_SECTOR = 2_048
_SYSTEM_SECTORS = 16  # left empty by the standard
_VOLUME = "cidata"  # the name that cloud-init looks for
_YEAR_2000 = bytes([100, 1, 1, 0, 0, 0, 0])  # directory records carry a time; ours says nothing
_NO_TIME = b"0" * 16 + b"\0"
_DIRECTORY = 2


@dataclass(frozen=True, slots=True)
class Network:
    """How the machine gets its address: by DHCP, or `address` with `prefix`, `gateway` and `dns`."""

    mac: str
    address: str = ""
    prefix: int = 24
    gateway: str = ""
    dns: tuple[str, ...] = ()


def first_start_drive(user_data: str, *, instance: str, hostname: str, network: Network) -> bytes:
    """Return the image; it holds whatever secrets `user_data` holds."""
    meta = {"instance-id": instance, "local-hostname": hostname}
    return iso_image(
        {
            "meta-data": json.dumps(meta).encode(),
            "network-config": json.dumps(network_config(network)).encode(),
            "user-data": user_data.encode(),
        }
    )


def network_config(network: Network) -> dict[str, object]:
    """Return cloud-init's network configuration, version 2."""
    interface: dict[str, object] = {"match": {"macaddress": network.mac.lower()}}
    if not network.address:
        interface["dhcp4"] = True
    else:
        interface["addresses"] = [f"{network.address}/{network.prefix}"]
        interface["routes"] = [{"to": "0.0.0.0/0", "via": network.gateway, "on-link": True}]
        interface["nameservers"] = {"addresses": list(network.dns)}
    return {"version": 2, "ethernets": {"primary": interface}}


def iso_image(files: Mapping[str, bytes], volume: str = _VOLUME) -> bytes:
    """Write files into the root of an ISO image; same files, same bytes."""
    names = sorted(files)
    # Two descriptors and their end, two path tables each, two roots, then the files.
    tables = _SYSTEM_SECTORS + 3
    roots = (tables + 4, tables + 5)
    at = roots[1] + 1
    extents: dict[str, tuple[int, int]] = {}
    for name in names:
        extents[name] = (at, len(files[name]))
        at += max(1, -(-len(files[name]) // _SECTOR))
    trees = [
        _Tree(False, volume, roots[0], tables, at),
        _Tree(True, volume, roots[1], tables + 2, at),
    ]
    sectors = [b""] * _SYSTEM_SECTORS
    sectors += [tree.descriptor() for tree in trees]
    sectors.append(b"\xffCD001\x01")
    sectors += [table for tree in trees for table in tree.path_tables()]
    sectors += [tree.root(extents) for tree in trees]
    padded = [each.ljust(_SECTOR, b"\0") for each in sectors]
    contents = [
        files[name].ljust(max(1, -(-len(files[name]) // _SECTOR)) * _SECTOR, b"\0")
        for name in names
    ]
    return b"".join([*padded, *contents])


@dataclass(frozen=True, slots=True)
class _Tree:
    """One of the two trees over the same files: plain, and Joliet (`wide`)."""

    wide: bool
    volume: str
    root_sector: int
    tables_sector: int
    sectors: int

    def descriptor(self) -> bytes:
        """Return the volume descriptor (ECMA-119 8.4 and 8.5)."""
        version = b"\x02CD001\x01\0" if self.wide else b"\x01CD001\x01\0"
        escapes = b"%/E".ljust(32, b"\0") if self.wide else bytes(32)
        label = self.volume if self.wide else self.volume.upper()
        return b"".join(
            [
                version,
                self._text("", 32),
                self._text(label, 32),
                bytes(8),
                _both32(self.sectors),
                escapes,
                _both16(1),
                _both16(1),
                _both16(_SECTOR),
                _both32(10),
                struct.pack("<II", self.tables_sector, 0),
                struct.pack(">II", self.tables_sector + 1, 0),
                _record(b"\0", self.root_sector, _SECTOR, _DIRECTORY),
                self._text("", 128 * 4 + 37 * 3),
                _NO_TIME * 4,
                b"\x01",
            ]
        )

    def path_tables(self) -> tuple[bytes, bytes]:
        """Return the table of directories, which has only the root, in both byte orders."""
        return tuple(  # type: ignore[return-value]
            b"\x01\0" + struct.pack(f"{order}IH", self.root_sector, 1) + b"\0\0" for order in "<>"
        )

    def root(self, extents: Mapping[str, tuple[int, int]]) -> bytes:
        """Return the root directory: itself, its parent, the files."""
        own = [_record(mark, self.root_sector, _SECTOR, _DIRECTORY) for mark in (b"\0", b"\x01")]
        files = [_record(self._name(name), *where, 0) for name, where in extents.items()]
        return b"".join([*own, *files])

    def _name(self, name: str) -> bytes:
        return name.encode("utf-16-be") if self.wide else f"{name.upper()}.;1".encode()

    def _text(self, text: str, size: int) -> bytes:
        if not self.wide:
            return text.encode().ljust(size)
        wide = text.encode("utf-16-be")
        return (
            (wide + "\0 ".encode("latin-1") * size)[:size] if not text else wide.ljust(size, b"\0")
        )


def _record(name: bytes, sector: int, size: int, flags: int) -> bytes:
    """Return a directory record (ECMA-119 9.1), padded to an even length."""
    body = b"".join(
        [
            b"\0",
            _both32(sector),
            _both32(size),
            _YEAR_2000,
            bytes([flags, 0, 0]),
            _both16(1),
            bytes([len(name)]),
            name,
        ]
    )
    body += b"" if len(body) % 2 else b"\0"
    return bytes([len(body) + 1]) + body


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _both32(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)

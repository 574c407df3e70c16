"""Reads the files in the root of an ISO image by its Joliet tree, as Linux does."""

from __future__ import annotations

import struct

_SECTOR = 2_048


def read_iso(image: bytes) -> tuple[str, dict[str, bytes]]:
    """Return the volume's name and its files."""
    assert image[16 * _SECTOR : 16 * _SECTOR + 7] == b"\x01CD001\x01", "no ISO image"
    descriptors = (image[number * _SECTOR : (number + 1) * _SECTOR] for number in range(17, 32))
    joliet = (each for each in descriptors if each[0] == 2 and each[88:91] == b"%/E")
    descriptor = next(joliet)
    volume = descriptor[40:72].decode("utf-16-be").rstrip("\0 ")
    return volume, _files(image, *struct.unpack_from("<I4xI", descriptor, 156 + 2))


def _files(image: bytes, sector: int, size: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    at, end = sector * _SECTOR, sector * _SECTOR + size
    while at < end and image[at]:
        where, length = struct.unpack_from("<I4xI", image, at + 2)
        name = image[at + 33 : at + 33 + image[at + 32]]
        if len(name) > 1:
            files[name.decode("utf-16-be")] = image[where * _SECTOR : where * _SECTOR + length]
        at += image[at]
    return files

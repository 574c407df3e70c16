"""LEB128: how the Internet Computer writes natural numbers."""

from __future__ import annotations

from decent_cloud.adapters.icp.errors import ReplyUnreadable


def encode(number: int) -> bytes:
    """Write a natural number, seven bits a byte, lowest first."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def decode(raw: bytes) -> int:
    """Read a natural number that fills all of `raw`. Errors: ReplyUnreadable."""
    if not raw or raw[-1] & 0x80 or any(not byte & 0x80 for byte in raw[:-1]):
        raise ReplyUnreadable("a number is not valid LEB128")
    return sum((byte & 0x7F) << 7 * at for at, byte in enumerate(raw))

"""Base64url without padding, where every byte string has exactly one text."""

from __future__ import annotations

import base64

from decent_cloud.domain.keys.errors import BadShape, NotCanonical

HASH_BYTES = 32


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str, length: int | None = None) -> bytes:
    """Return the bytes of `text`.

    Errors: `NotCanonical` for padding, foreign characters, stray low bits or another byte length.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as cause:
        raise NotCanonical("not base64url") from cause
    # The decoder skips foreign characters and drops stray bits: only the round trip is proof.
    if encode(raw) != text or (length is not None and len(raw) != length):
        raise NotCanonical("not base64url")
    return raw


def from_hex(text: str) -> str:
    """Return the in-statement form of an account id or digest.

    Errors: `BadShape`.
    """
    return encode(hash_bytes(text))


def hash_bytes(text: str) -> bytes:
    """Return the 32 bytes of an account id or digest, written as 64 lower-case hex digits.

    Errors: `BadShape`.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError as cause:
        raise BadShape("not an account id or digest") from cause
    if len(raw) != HASH_BYTES or raw.hex() != text:
        raise BadShape("not an account id or digest")
    return raw

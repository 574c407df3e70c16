"""Ed25519 SSH host keys: made from a seed, written the way dropbear and OpenSSH read them."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from decent_cloud.drivers.contract import HostKey, Secret

SEED_BYTES = 32
_TYPE = b"ssh-ed25519"


def make_host_key(seed: bytes) -> HostKey:
    """Make the host key that belongs to 32 random bytes."""
    blob = _string(_TYPE) + _string(_public(seed))
    public = f"{_TYPE.decode()} {base64.b64encode(blob).decode()}"
    return HostKey(public, Secret(seed.hex()))


def dropbear_private(key: HostKey) -> bytes:
    """Return the key as dropbear stores it: its type, then seed and public half as one string."""
    seed = bytes.fromhex(key.seed_hex.reveal())
    return _string(_TYPE) + _string(seed + _public(seed))


def openssh_private(key: HostKey) -> bytes:
    """Return the key as OpenSSH stores it (PROTOCOL.key), without a passphrase."""
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.seed_hex.reveal()))
    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _public(seed: bytes) -> bytes:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value

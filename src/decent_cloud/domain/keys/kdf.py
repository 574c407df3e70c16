"""Key derivation: one secret, one label, one key."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_RECOVERY_SALT = b"dcx/recovery/v1\0"


def derive(secret: bytes, label: str) -> bytes:
    """Return 32 bytes by HKDF-SHA256 with a salt of 32 zero bytes and the ASCII label as info."""
    hkdf = HKDF(
        hashes.SHA256(), length=KEY_BYTES, salt=bytes(KEY_BYTES), info=label.encode("ascii")
    )
    return hkdf.derive(secret)


def stretch(entropy: bytes) -> bytes:
    """Return 32 bytes by Argon2id; its cost is part of the format and takes about 0.6 s."""
    argon = Argon2id(
        salt=_RECOVERY_SALT, length=KEY_BYTES, iterations=3, lanes=1, memory_cost=65536
    )
    return argon.derive(entropy)

"""The platform's own key: signs desired state, in no account's chain."""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from decent_cloud.domain.keys import kdf
from decent_cloud.domain.keys.devices import SEED_BYTES
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.domain.keys.points import check_ed25519_key, verify_signature
from decent_cloud.domain.keys.statements import pae

DESIRED = "dcx/desired/v1"


class PlatformKey:
    """The platform's signing key, from a 32-byte seed."""

    __slots__ = ("_ed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise BadShape("a platform seed has 32 bytes")
        self._ed = Ed25519PrivateKey.from_private_bytes(kdf.derive(seed, "dcx/platform/ed25519/v1"))
        self.public = self._ed.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"PlatformKey({self.platform_id})"

    @property
    def platform_id(self) -> str:
        return platform_id_of(self.public)

    def sign(self, statement_type: str, payload: bytes) -> bytes:
        """Return the 64-byte signature over type and canonical payload."""
        return self._ed.sign(pae(statement_type, payload))


def platform_id_of(public: bytes) -> str:
    """Return the id that agents pin: 64 lower-case hex digits."""
    return sha256(b"dcx/platform/v1\0" + public).hexdigest()


def verify_platform(public: bytes, statement_type: str, payload: bytes, signature: bytes) -> None:
    """Verify the platform's signature over a payload as received; parse only afterwards.

    Errors: `BadPoint`, `BadSignature`.
    """
    check_ed25519_key(public)
    verify_signature(public, pae(statement_type, payload), signature)

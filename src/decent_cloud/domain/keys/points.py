"""Which curve points are acceptable as keys and in signatures, the same in every language."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

from decent_cloud.domain.keys.errors import BadPoint, BadSignature

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_FIELD_PRIME = 2**255 - 19
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
# Any fixed scalar: clamping makes it a multiple of eight, so low-order points give all zeros.
_PROBE = X25519PrivateKey.from_private_bytes(b"\x01" * KEY_BYTES)


def check_ed25519_key(key: bytes) -> None:
    """Refuse a key that is not a canonical point of the prime-order subgroup.

    Errors: `BadPoint`. A table of small-order points would let mixed-order keys pass.
    """
    if not _prime_order(key):
        raise BadPoint("not an acceptable Ed25519 key")


def check_x25519_key(key: bytes) -> None:
    """Refuse a key that is not canonical or gives an all-zero exchange.

    Errors: `BadPoint`.
    """
    if len(key) != KEY_BYTES or int.from_bytes(key, "little") >= _FIELD_PRIME:
        raise BadPoint("not an acceptable X25519 key")
    try:
        _PROBE.exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError as cause:
        raise BadPoint("not an acceptable X25519 key") from cause


def verify_signature(key: bytes, message: bytes, signature: bytes) -> None:
    """Verify an Ed25519 signature whose key has passed `check_ed25519_key`.

    Errors: `BadSignature`, also for S >= L and for an R with a torsion part or of small order,
    on which libraries disagree.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignature
    if int.from_bytes(signature[KEY_BYTES:], "little") >= _GROUP_ORDER:
        raise BadSignature
    if not _prime_order(signature[:KEY_BYTES]):
        raise BadSignature
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature as cause:
        raise BadSignature from cause


def _prime_order(point: bytes) -> bool:
    return len(point) == KEY_BYTES and crypto_core_ed25519_is_valid_point(point)

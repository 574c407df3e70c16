"""Sealing to one X25519 key: RFC 9180, base mode, one message for one context."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from decent_cloud.domain.keys.errors import CannotOpen
from decent_cloud.domain.keys.points import check_x25519_key

OVERHEAD_BYTES = 48  # the sender's one-time key (32) and the tag (16)

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def seal(plaintext: bytes, recipient: bytes, context: bytes) -> bytes:
    """Return one-time key (32) and ciphertext.

    Errors: `BadPoint` for an unacceptable recipient key.
    """
    check_x25519_key(recipient)
    return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info=context)


def open_sealed(sealed: bytes, key: X25519PrivateKey, context: bytes) -> bytes:
    """Return the plaintext.

    Errors: `CannotOpen` for another key, another context or one changed bit.
    """
    try:
        return _SUITE.decrypt(sealed, key, info=context)
    except InvalidTag:
        # Without the cause: every failure looks alike.
        raise CannotOpen from None

"""BLS12-381 signatures with the short side in G1, as subnets make them."""

from __future__ import annotations

from pyblst import (  # type: ignore[import-untyped]
    BlstP1Element,
    BlstP2Element,
    final_verify,
    miller_loop,
)

DOMAIN = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
DER_PREFIX = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100"
)
G2_GENERATOR = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)
_KEY_BYTES = 96
_SIGNATURE_BYTES = 48
_INFINITY = 0x40


def raw_key(der: bytes) -> bytes | None:
    """Take a public key out of its DER form; None if it is no BLS key."""
    key = der[len(DER_PREFIX) :]
    return key if der.startswith(DER_PREFIX) and len(key) == _KEY_BYTES else None


def verify(signature: bytes, message: bytes, key: bytes) -> bool:
    """Tell whether `key` (96 raw bytes) signed the message; points outside the groups, or at infinity, never did."""
    if len(signature) != _SIGNATURE_BYTES or len(key) != _KEY_BYTES:
        return False
    if (signature[0] | key[0]) & _INFINITY:
        return False
    try:
        left = miller_loop(BlstP1Element.uncompress(signature), _generator())
        point = BlstP2Element.uncompress(key)
    except ValueError:
        return False
    right = miller_loop(BlstP1Element.hash_to_group(message, DOMAIN), point)
    return bool(final_verify(left, right))


def _generator() -> BlstP2Element:
    return BlstP2Element.uncompress(G2_GENERATOR)

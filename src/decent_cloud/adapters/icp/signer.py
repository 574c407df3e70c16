"""The wallet's key: whoever signs requests, and our Ed25519 signer from a private file or the environment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from nacl.signing import SigningKey

from decent_cloud.adapters.icp.errors import BadSigningKey

KEY_VARIABLE = "DECENT_ICP_KEY"
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
_SEED_HEX = 64
_OTHERS = 0o077


class Signer(Protocol):
    """Someone who can sign as one principal; the secret stays with them."""

    @property
    def principal(self) -> bytes:
        """Return who signs."""
        ...

    @property
    def public_key_der(self) -> bytes:
        """Return the public key as the Internet Computer wants it."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign a message that already carries its domain separator."""
        ...


class Ed25519Signer:
    """Signs with a 32-byte seed held in memory; shows nothing of it."""

    __slots__ = ("_key", "principal", "public_key_der")

    def __init__(self, seed: bytes) -> None:
        """Take the seed. Errors: BadSigningKey."""
        if len(seed) * 2 != _SEED_HEX:
            raise BadSigningKey("a signing key is 32 bytes")
        self._key = SigningKey(seed)
        self.public_key_der = _DER_PREFIX + bytes(self._key.verify_key)
        self.principal = self_authenticating(self.public_key_der)

    def sign(self, message: bytes) -> bytes:
        """Sign a message that already carries its domain separator."""
        return bytes(self._key.sign(message).signature)

    def __repr__(self) -> str:
        return "Ed25519Signer(...)"

    def __reduce__(self) -> str:
        raise BadSigningKey("a signing key is not copied into other places")


def self_authenticating(public_key_der: bytes) -> bytes:
    """Return the principal that a public key speaks for."""
    return hashlib.sha224(public_key_der).digest() + b"\x02"


def signer_from_file(path: Path) -> Ed25519Signer:
    """Read a seed as 64 hex digits from a file that only its owner may read. Errors: BadSigningKey."""
    try:
        with path.open() as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise BadSigningKey(f"{path} can be read by others; run: chmod 600 {path}")
            text = file.read(_SEED_HEX * 2)
    except (OSError, UnicodeDecodeError):
        raise BadSigningKey(f"{path} cannot be read") from None
    return _from_text(text, str(path))


def signer_from_environment(environment: Mapping[str, str]) -> Ed25519Signer:
    """Read a seed as 64 hex digits from `DECENT_ICP_KEY`. Errors: BadSigningKey."""
    return _from_text(environment.get(KEY_VARIABLE, ""), KEY_VARIABLE)


def _from_text(text: str, where: str) -> Ed25519Signer:
    digits = text.strip()
    try:
        seed = bytes.fromhex(digits) if len(digits) == _SEED_HEX else b""
    except ValueError:
        seed = b""
    if not seed:
        raise BadSigningKey(f"{where} does not hold a signing key: 64 hex digits")
    return Ed25519Signer(seed)

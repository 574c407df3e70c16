"""The agent's management key: an SSH key of its own that may enter machines whose terms say so."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from decent_cloud.agent.keys import KeyFileUnsafe
from decent_cloud.drivers.contract import Secret, SshKey

FILE = "management.key"


def management_key(folder: Path) -> Secret:
    """Return the private key as OpenSSH PEM, made at the first use; only the owner may read the file.

    Errors: KeyFileUnsafe.
    """
    path = folder / FILE
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise KeyFileUnsafe(f"{path} can be read by others; run: chmod 600 {path}")
    return Secret(path.read_text(encoding="ascii"))


def own_key(folder: str) -> SshKey:
    """Return its public half as machines get it. Errors: KeyFileUnsafe."""
    pem = management_key(Path(folder)).reveal()
    try:
        private = serialization.load_ssh_private_key(pem.encode(), password=None)
        public = private.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    except (ValueError, TypeError) as error:
        raise KeyFileUnsafe(f"{FILE} cannot be read as an SSH key") from error
    return SshKey.parse(public.decode())


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; one that another thread made first stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        part.unlink()

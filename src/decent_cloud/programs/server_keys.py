"""The server's two secret files: the platform's signing seed and the key that wraps personal fields."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.platform import PlatformKey
from decent_cloud.kernel.errors import Invalid

PLATFORM_FILE = "platform.key"
MASTER_FILE = "master.key"
_SEED_BYTES = 32
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """Both secrets; neither shows itself."""

    platform: PlatformKey
    master: bytes = field(repr=False)


def load_keys(folder: Path, *, new: bool = True) -> ServerKeys:
    """Read both keys of a data folder, or, if it may be `new`, make both.

    Errors: Invalid if one is missing, unreadable, malformed, or readable by others. A lost key is never replaced:
    agents pin the platform's, and personal fields are gone without the master's.
    """
    paths = folder / PLATFORM_FILE, folder / MASTER_FILE
    present = [path.exists() for path in paths]
    if not any(present):
        if not new:
            raise Invalid(f"there is no platform in {folder}; give its data folder", field="data")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in paths:
            _create(path, secrets.token_bytes(_SEED_BYTES))
    elif not all(present):
        lost = paths[present.index(False)]
        raise Invalid(f"{lost} is missing; restore it from a backup, it cannot be made again")
    return ServerKeys(PlatformKey(_read(paths[0])), _read(paths[1]))


def _create(path: Path, secret: bytes) -> None:
    """Write a secret that is on disk, and readable by its owner only, before anyone uses it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(b64u.encode(secret) + "\n")
        file.flush()
        os.fsync(file.fileno())
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _read(path: Path) -> bytes:
    if path.stat().st_mode & _OTHERS:
        raise Invalid(f"{path} can be read by others; run: chmod 600 {path}")
    try:
        return b64u.decode(path.read_text().strip(), _SEED_BYTES)
    except (OSError, KeyRefused) as error:
        raise Invalid(f"{path} is not a key file of this program") from error

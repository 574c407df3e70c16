"""The agent's own device key: 32 bytes in a file that nobody else may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from decent_cloud.domain.keys.devices import SEED_BYTES, Device, DeviceKeys, DeviceType, Rank
from decent_cloud.kernel.errors import AlreadyExists, DecentError, Kind, NotFound


class KeyFileUnsafe(DecentError):
    """The agent's key file can be read by others or is damaged."""

    code = "key_file_unsafe"
    kind = Kind.FORBIDDEN


def make_keys(path: Path) -> DeviceKeys:
    """Make a new key and write it, whole or not at all, readable by the owner only.

    Errors: AlreadyExists.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    seed = secrets.token_bytes(SEED_BYTES)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(seed.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # fails where one exists: a key is never overwritten
    except FileExistsError as error:
        raise AlreadyExists(f"{path} exists already; the agent keeps the key it has") from error
    finally:
        part.unlink()
    return DeviceKeys(seed)


def rotate_keys(path: Path) -> tuple[DeviceKeys, DeviceKeys]:
    """Put a new key in the old one's place, and keep the old one beside it; return old and new.

    Cut off at any point, it may be run again: there is a whole key at every moment but one, and then
    the new one lies ready. Errors: NotFound, KeyFileUnsafe.
    """
    ready = path.with_name(f"{path.name}.next")
    if not path.exists() and ready.exists():
        ready.rename(path)
        new = load_keys(path)
        return new, new
    old = load_keys(path)
    new = load_keys(ready) if ready.exists() else make_keys(ready)
    path.rename(path.with_name(f"{path.name}.{old.kid}"))
    ready.rename(path)
    return old, new


def load_keys(path: Path) -> DeviceKeys:
    """Read the key. Errors: NotFound, KeyFileUnsafe."""
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise KeyFileUnsafe(f"{path} can be read by others; run: chmod 600 {path}")
        return DeviceKeys(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except FileNotFoundError as error:
        raise NotFound(f"there is no key file {path}; make one with: dc-agent init") from error
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise KeyFileUnsafe(f"{path} cannot be read as a key: {error}") from error


def public_form(keys: DeviceKeys) -> Device:
    """Return the device as it stands in a provider's chain: type agent, rank 2."""
    return keys.public(DeviceType.AGENT, Rank.READER)

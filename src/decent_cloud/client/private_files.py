"""Files that only their owner may read: written whole or not at all, refused when others can read them."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decent_cloud.domain.keys.errors import KeyRefused

OTHERS = 0o077


class FileExposed(KeyRefused):
    """A file with secrets can be read by other users of this machine."""

    code = "file_exposed"


def read_private(path: Path) -> bytes:
    """Return the content of a file that only its owner may read.

    Errors: FileExposed; FileNotFoundError.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & OTHERS:
            raise FileExposed(
                f"{path} can be read by others (mode {mode & 0o777:o}); take that away with: "
                f"chmod 600 {path}",
                field="key_file",
            )
        return file.read()


def write_private(path: Path, raw: bytes) -> None:
    """Put a file in place whole, readable by its owner only; its folder is made if need be."""
    make_private_folder(path.parent)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter; one that exists is left as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a file, so that two commands at once do not lose each other's change."""
    make_private_folder(path.parent)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

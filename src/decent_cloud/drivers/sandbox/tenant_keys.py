"""The SSH keys in a machine's home, from outside: the tenant owns that folder, so no link in it is followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from decent_cloud.drivers.contract import Broken, Rejected, SshKey
from decent_cloud.drivers.sandbox.folders import told

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW, _FILE = ".authorized_keys.new", "authorized_keys"
_MAX_BYTES = 256 * 1024


def replace_keys(home: Path, uid: int, keys: tuple[SshKey, ...], kept: SshKey | None) -> None:
    """Replace the keys in one rename; `kept` stays if it is there, `uid` owns the file unless 0.

    Errors: Rejected (a link is in the way), the file system's as the driver's.
    """
    lines = [key.line() for key in keys]
    if kept is not None and any(kept.blob in line.split() for line in read_keys(home)):
        lines.append(kept.line())
    with _ssh_folder(home, uid) as folder:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_NEW, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(_NEW, flags, 0o600, dir_fd=folder), "w") as file:
            file.write("".join(f"{line}\n" for line in lines))
            if uid:
                os.fchown(file.fileno(), uid, uid)
        os.rename(_NEW, _FILE, src_dir_fd=folder, dst_dir_fd=folder)


def read_keys(home: Path) -> tuple[str, ...]:
    """Return the lines that let somebody in.

    Errors: as `replace_keys`, Broken for a file that is absurdly long.
    """
    with _ssh_folder(home, 0) as folder:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            opened = os.open(_FILE, flags, dir_fd=folder)
        except FileNotFoundError:
            return ()
        with os.fdopen(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise Rejected("the machine's authorized_keys is no file")
            raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise Broken("the machine's authorized_keys is absurdly long")
    lines = (line.strip() for line in raw.decode(errors="replace").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


@contextlib.contextmanager
def _ssh_folder(home: Path, uid: int) -> Iterator[int]:
    """Open `.ssh` itself, made where it is missing."""
    try:
        outer = os.open(home, _FOLDER)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(".ssh", 0o700, dir_fd=outer)
                if uid:
                    os.chown(".ssh", uid, uid, dir_fd=outer, follow_symlinks=False)
            inner = os.open(".ssh", _FOLDER, dir_fd=outer)
        finally:
            os.close(outer)
        try:
            yield inner
        finally:
            os.close(inner)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EISDIR}:
            raise Rejected("something else is where the machine's SSH keys belong") from error
        raise told(error) from error

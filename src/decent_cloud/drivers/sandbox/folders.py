"""The machines of this host as folders: records, locks, marks. The file system is the only memory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from decent_cloud.drivers.contract import AuthFailed, Broken, NoCapacity, TryLater
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

_TURN_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.02
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process
_SCOPE_BYTES = 16


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a machine, in `machine.json` of its folder; the host key is kept apart."""

    platform: str
    contract: str
    attempt: str
    port: int
    uid: int  # host user, 0: the agent's own
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    created_at_ms: int
    version: int = 1


MAX_TOLD_BYTES = 256 * 1024


class Folder:
    """One machine's folder; it appears with everything in it, and goes as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.home = path / "home"
        self.access = path / "access"
        self.shadow = self.access / "shadow"
        self.asked = self.access / "first-script"  # read only inside: what is to run there once
        self.told = self.home / ".first-script.told"
        self.etc = path / "etc"
        self.host_key = path / "host_key"
        self.lock = path / "lock"
        self.info = path / "info.json"
        self.log = path / "log"
        self.started = path / "started"

    def exists(self) -> bool:
        """Tell whether anything has this name; raises where it cannot be told."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise told(error) from error
        return True

    def record(self) -> Record | None:
        """Read the record; None where the folder is not one of ours, or gone."""
        try:
            return codec.from_json((self.path / "machine.json").read_bytes(), Record)
        except (FileNotFoundError, NotADirectoryError, Invalid):
            return None
        except OSError as error:
            raise told(error) from error

    def is_alive(self) -> bool:
        """Tell whether the machine runs: it holds the lock for as long as it does."""
        try:
            return _is_locked(self.lock)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise told(error) from error


class Store:
    """All machines of this host, whatever their platform."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._machines = place / "machines"
        self._turns = place / "turns"
        self._making = place / "making"
        self._going = place / "going"

    def open(self) -> None:
        """Make what is missing of our own folders. Errors: AuthFailed, NoCapacity, Broken."""
        try:
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for each in (self._machines, self._turns, self._making, self._going):
                each.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise told(error) from error

    def scope(self) -> str:
        """Read this store's mark, made when it was; another disk has another."""
        self.open()
        mark = self.place / "mark"
        try:
            if not mark.exists():
                draft = self._making / f"mark-{secrets.token_hex(8)}"
                draft.write_text(secrets.token_hex(_SCOPE_BYTES))
                with contextlib.suppress(FileExistsError):
                    mark.hardlink_to(draft)  # whoever is first
                draft.unlink()
            text = mark.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise told(error) from error
        if len(text) != 2 * _SCOPE_BYTES:
            raise Broken(f"{mark} is not ours; remove it, or set another `folder`")
        return f"sandbox-{text}"

    def folder(self, name: str) -> Folder:
        """Return the folder of a machine, there or not."""
        return Folder(self._machines / name)

    def folders(self) -> list[Folder]:
        """List all machines' folders."""
        try:
            return [Folder(each) for each in sorted(self._machines.iterdir())]
        except OSError as error:
            raise told(error) from error

    @contextlib.contextmanager
    def turn(self, name: str, timeout_s: float = _TURN_TIMEOUT_S) -> Iterator[None]:
        """Let programs and threads take turns at one machine. Errors: TryLater."""
        with Lock(self._turns / name, timeout_s) as lock:
            try:
                yield
            finally:
                if not self.folder(name).exists():
                    lock.forget()

    def add(self, name: str, fill: Callable[[Folder, int], None], first_uid: int) -> Folder:
        """Put a machine in place as a whole: `fill` gets a folder and a free host user (0: none)."""
        with Lock(self._turns / ".all", _TURN_TIMEOUT_S):
            draft = self._making / f"{name}.{secrets.token_hex(4)}"
            try:
                draft.mkdir(mode=0o700)
                fill(Folder(draft), self._free_uid(first_uid) if os.geteuid() == 0 else 0)
                draft.rename(self.folder(name).path)
            except BaseException as error:
                shutil.rmtree(draft, ignore_errors=True)
                if isinstance(error, OSError):
                    raise told(error) from error
                raise
        return self.folder(name)

    def remove(self, folder: Folder) -> None:
        """Remove a machine that does not run; half-way through it is gone already."""
        aside = self._going / f"{folder.name}.{secrets.token_hex(4)}"
        try:
            with contextlib.suppress(FileNotFoundError):
                folder.path.rename(aside)
        except OSError as error:
            raise told(error) from error
        _remove_tree(aside)

    def sweep(self) -> None:
        """Remove what killed programs left half-made or half-removed."""
        for each in (*self._making.iterdir(), *self._going.iterdir()):
            with contextlib.suppress(TryLater), self.turn(each.name.rpartition(".")[0] or "-", 0):
                _remove_tree(each)

    def _free_uid(self, first: int) -> int:
        records = (each.record() for each in self.folders())
        taken = {each.uid for each in records if each is not None}
        uid = first
        while uid in taken:
            uid += 1
        return uid


class Lock:
    """A file that one open description holds; freed when its last holder is gone, however it went."""

    def __init__(self, path: Path, timeout_s: float = 0.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self.fd = -1

    def __enter__(self) -> Self:
        end = time.monotonic() + self._timeout_s
        while not self._take():
            if time.monotonic() >= end:
                raise TryLater(f"{self._path.name} is busy with something else", after_s=1)
            time.sleep(_LOOK_EVERY_S)
        return self

    def _take(self) -> bool:
        """Try once; a file that was removed meanwhile locks nothing."""
        try:
            self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise told(error) from error
        try:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
            if os.path.samestat(os.fstat(self.fd), self._path.stat()):
                return True
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EACCES, errno.ENOENT}:
                os.close(self.fd)
                raise told(error) from error
        os.close(self.fd)
        return False

    def forget(self) -> None:
        """Remove the file, by its holder."""
        self._path.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file as a whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
    draft.replace(path)


def read_from_tenant(path: Path) -> bytes:
    """Read a file that processes inside may have put in place of the right one: no link is followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Broken(f"{path.name} is no plain file")
        return file.read(MAX_TOLD_BYTES)


def told(error: Exception) -> AuthFailed | NoCapacity | Broken:
    """Translate an error of the file system."""
    number = error.errno if isinstance(error, OSError) else None
    said = str(error)[:300]
    if number in {errno.EACCES, errno.EPERM}:
        return AuthFailed(f"no right to the machines' folder: {said}")
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return NoCapacity(f"the disk is full: {said}")
    return Broken(f"the machines' folder cannot be used: {said}")


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _is_locked(path: Path) -> bool:
    """Ask who holds a lock, without taking it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    finally:
        os.close(descriptor)
    return int(struct.unpack(_FLOCK, answer)[0]) != fcntl.F_UNLCK


def _remove_tree(path: Path) -> None:
    """Remove a folder in which a tenant may have shut folders against everybody."""

    def open_up(_act: object, _path: str, _raised: object) -> None:
        with contextlib.suppress(OSError):
            for folder, names, _ in os.walk(path):
                for each in (Path(folder), *(Path(folder) / name for name in names)):
                    if stat.S_ISDIR(each.lstat().st_mode):
                        each.chmod(0o700)

    shutil.rmtree(path, onerror=open_up)
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        raise TryLater(f"the last of {path.name} cannot be removed yet")

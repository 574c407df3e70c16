"""A Docker engine for a demo, a bench or a test run: the one that runs here, or one of our own.

An engine of our own lives in one scratch folder, needs root, and leaves nothing behind: a guard
process outlives whoever asked for it and cleans up when that one is gone, however it went.
By hand: `python -m devtools.engine status | clean`, and `hold FOLDER` for as long as its input is open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from devtools import netstate

# A second engine at the same time needs a network namespace and a folder of its own.
SCRATCH = Path(os.environ.get("DECENT_ENGINE_FOLDER", "/var/tmp/decent-engine"))
RUNNING_SOCKET = "unix:///var/run/docker.sock"
CURE = "apt-get install -y docker.io iptables, and run as root; or start a Docker engine yourself"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0
_LOCK_TIMEOUT_S = 900.0
_HOLD_WAIT_S = 80.0  # less than a test may take


class EngineUnavailable(Exception):
    """There is no container engine here and none can be started; the text says what to do."""


class EngineBusy(Exception):
    """Another run has its engine up for longer than we wait."""


@dataclass(slots=True)
class Engine:
    """An engine that answers; only one of our own can be stopped, killed or hung."""

    url: str
    owned: bool
    scratch: Path | None = None
    extra_args: Sequence[str] = field(default_factory=tuple)

    @property
    def pid(self) -> int:
        """Return the process id of our own dockerd."""
        return int((self._folder() / "pid").read_text())

    def start(self) -> None:
        """Start our own engine and wait until it answers."""
        _start_daemon(self._folder(), self.extra_args)

    def stop(self) -> None:
        """Stop it in order; containers stop too."""
        _stop_daemon(self._folder())

    def kill(self) -> None:
        """Kill it as a crash does; run `start` afterwards."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        _wait(lambda: not _alive(pid), 10, "dockerd did not die")
        (self._folder() / "pid").unlink(missing_ok=True)
        # Its containerd dies with it; as a zombie, where nobody collects it, it would count as running.
        kept = self._folder() / "exec" / "containerd" / "containerd.pid"
        if kept.exists() and not _alive(int(kept.read_text())):
            kept.unlink()

    def hang(self) -> None:
        """Freeze it: the socket takes connections and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _folder(self) -> Path:
        if self.scratch is None:
            raise EngineUnavailable("this engine was running before us; it is not ours to control")
        return self.scratch


@contextlib.contextmanager
def engine(
    scratch: Path = SCRATCH,
    *,
    own: bool = False,
    extra_args: Sequence[str] = (),
    wait_s: float = _LOCK_TIMEOUT_S,
) -> Iterator[Engine]:
    """Give an engine for the time of the block; raises EngineUnavailable with the cure, EngineBusy.

    One that runs is used and not touched. Else, or with `own`, one is started in `scratch`; a second
    caller waits for the first, since bridges and rules are the machine's.
    """
    if not own and (running := running_engine()):
        yield Engine(running, owned=False)
        return
    _require_root_and_programs()
    with _only_one(scratch, wait_s) as lock, _terminated_as_exception():
        _clean(scratch)
        _private_folder(scratch / "state")
        netstate.capture().save(scratch / "state" / "net.json")
        guard = _start_guard(scratch, lock)
        made = Engine(f"unix://{scratch}/docker.sock", True, scratch, tuple(extra_args))
        try:
            made.start()
            yield made
        finally:
            _end_guard(guard)


def running_engine() -> str | None:
    """Return the address of an engine that already answers here."""
    for url in (os.environ.get("DOCKER_HOST", ""), RUNNING_SOCKET):
        if url.startswith("unix://") and _ping(url.removeprefix("unix://")):
            return url
    return None


def clean(scratch: Path = SCRATCH) -> bool:
    """Remove what a killed run left, its guard killed too; tell if there was anything.

    Raises EngineBusy while a run is alive.
    """
    if not scratch.exists():
        return False
    with _only_one(scratch, 0):
        found = _clean(scratch)
        _remove(scratch)
    return found


def _clean(scratch: Path) -> bool:
    """Stop the engine and put the machine's network back; for the holder of the lock."""
    kept = scratch / "state" / "net.json"
    if not kept.exists():
        return False
    _stop_daemon(scratch)
    _kill_leftovers(scratch)
    _unmount_below(scratch)
    netstate.restore(netstate.NetState.load(kept))
    for name in ("data", "exec", "state", "docker.sock", "pid"):
        path = scratch / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return True


def _remove(scratch: Path) -> None:
    """Remove the lock, by its holder, and the folder."""
    (scratch / "lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        scratch.rmdir()


def _require_root_and_programs() -> None:
    missing = [name for name in ("dockerd", "iptables", "ip") if shutil.which(name) is None]
    if missing:
        raise EngineUnavailable(
            f"no container engine answers; missing: {', '.join(missing)}. {CURE}"
        )
    if os.geteuid() != 0:
        raise EngineUnavailable(f"no container engine answers and we are not root. {CURE}")


def _private_folder(path: Path) -> None:
    """Make the folder; refuse one that somebody else could have put there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EngineUnavailable(f"{path} is not a folder of ours; remove it")


@contextlib.contextmanager
def _only_one(scratch: Path, wait_s: float) -> Iterator[int]:
    """Hold the machine-wide lock and give its file; free again at once when its holders are dead."""
    end = time.monotonic() + wait_s
    while (lock := _lock(scratch)) is None:
        if time.monotonic() > end:
            raise EngineBusy(f"another run has an engine up in {scratch}; wait for it")
        time.sleep(0.2)
    try:
        yield lock
    finally:
        os.close(lock)


def _lock(scratch: Path) -> int | None:
    """Return the locked file, or None: a file that its last holder removed does not count."""
    _private_folder(scratch)
    lock = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock, scratch / "lock"):
        os.close(lock)
        return None
    return lock


def _locked(lock: int, path: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


@contextlib.contextmanager
def _terminated_as_exception() -> Iterator[None]:
    """Let SIGTERM unwind the block as Ctrl-C does."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not the main thread: the guard cleans up
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start_daemon(scratch: Path, extra_args: Sequence[str]) -> None:
    """Start dockerd in its own session, so that Ctrl-C at our terminal does not reach it."""
    command = [
        *("dockerd", "--data-root", f"{scratch}/data", "--exec-root", f"{scratch}/exec"),
        *("--pidfile", f"{scratch}/pid", "-H", f"unix://{scratch}/docker.sock"),
        *("--bridge", "none", "--config-file", f"{scratch}/state/daemon.json"),
        *extra_args,
    ]
    (scratch / "state" / "daemon.json").write_text("{}")
    log = os.open(scratch / "state" / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsid=True)
    os.close(log)
    path = f"{scratch}/docker.sock"
    end = time.monotonic() + _START_TIMEOUT_S
    while not _ping(path):
        if not _alive(pid) or time.monotonic() > end:
            tail = (scratch / "state" / "log").read_text(errors="replace")[-1_500:]
            raise EngineUnavailable(f"dockerd does not start:\n{tail}")
        time.sleep(0.02)


def _stop_daemon(scratch: Path) -> None:
    """Stop dockerd by its pid file, if that still names our dockerd."""
    try:
        pid = int((scratch / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return
    if str(scratch) not in _command_line(pid):
        return
    os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGTERM)
    with contextlib.suppress(EngineUnavailable):
        _wait(lambda: not _alive(pid), _STOP_TIMEOUT_S, "dockerd did not stop")


def _kill_leftovers(scratch: Path) -> None:
    """Kill what a killed dockerd leaves: containerd, its shims and what runs below them."""
    for _ in range(5):
        ours = [pid for pid in _pids() if f"{scratch}/" in _command_line(pid) and _is_engine(pid)]
        for pid in [child for each in ours for child in _descendants(each)] + ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not ours:
            return
        time.sleep(0.1)


def _is_engine(pid: int) -> bool:
    names = ("dockerd", "containerd", "containerd-shim", "docker-proxy", "runc")
    program = _command_line(pid).split(" ", 1)[0].rsplit("/", 1)[-1]
    return program.startswith(names)


def _unmount_below(scratch: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([each for each in mounts if each.startswith(f"{scratch}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def _pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _descendants(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(each) for each in text.split()]
    return [below for child in children for below in (child, *_descendants(child))]


def _command_line(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def _alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie of ours is collected and counts as gone."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _ping(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(path)
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return client.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def _wait(done: Callable[[], bool], timeout_s: float, why: str) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end:
            raise EngineUnavailable(why)
        time.sleep(0.02)


def _start_guard(scratch: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start the process that cleans up when the pipe to us closes, whatever closed it.

    It shares our lock, so that nobody begins before it has ended.
    """
    root = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-m", "devtools.engine", "guard", str(scratch)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=root, start_new_session=True, pass_fds=(lock,)
    )


def _end_guard(guard: subprocess.Popen[bytes]) -> None:
    """Let the guard clean up and wait for it; a second Ctrl-C does not cut that short."""
    if guard.stdin:
        guard.stdin.close()
    while True:
        try:
            guard.wait()
            return
        except KeyboardInterrupt:
            continue


def _hold(scratch: Path) -> int:
    """Keep an engine of our own up, in the network that this process is in, until its input closes."""
    try:
        with engine(scratch, own=True, wait_s=_HOLD_WAIT_S) as held:
            print(held.url, flush=True)
            sys.stdin.buffer.read()
    except (EngineUnavailable, EngineBusy) as error:
        print(" ".join(str(error).split()), flush=True)
        return 1
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run one of: status, clean, hold FOLDER, guard FOLDER."""
    verb = arguments[0] if arguments else "status"
    if verb == "guard":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        sys.stdin.buffer.read()
        _clean(Path(arguments[1]))
        _remove(Path(arguments[1]))
    elif verb == "hold":
        return _hold(Path(arguments[1]))
    elif verb == "clean":
        try:
            print("cleaned up after an earlier run" if clean() else "nothing to clean")
        except EngineBusy as busy:
            print(busy)
            return 1
    else:
        print(running_engine() or "no engine answers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

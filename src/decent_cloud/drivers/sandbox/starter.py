"""Starts one machine from a fresh process: away from the agent, as another user, then bubblewrap.

Run as a file, on the standard library alone. The order comes as JSON in the only argument; it holds no
secret. Standard input is the machine's. Ends with code 0 once bubblewrap's process exists.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
from pathlib import Path

_CLONE_NEWNS = 0x0002_0000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x4_0000
_STAGE = Path("/tmp")  # noqa: S108 - an own tmpfs is mounted there, seen by nobody else
_SOURCE = "{source:%d}"  # how a command names the n-th source


def _libc(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: bytes | None, flags: int) -> None:
    _libc("mount", source.encode(), target.encode(), kind, ctypes.c_ulong(flags), None)


def stage(sources: list[str]) -> list[str]:
    """Show the sources on an own tmpfs, so that folders above them may stay shut for the user."""
    _libc("unshare", _CLONE_NEWNS)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    opened = [os.open(each, os.O_PATH | os.O_CLOEXEC) for each in sources]
    _mount("tmpfs", str(_STAGE), b"tmpfs", 0)
    shown = []
    for number, descriptor in enumerate(opened):
        place = _STAGE / str(number)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            place.mkdir()
        else:
            place.touch()
        _mount(f"/proc/self/fd/{descriptor}", str(place), None, _MS_BIND | _MS_REC)
        os.close(descriptor)
        shown.append(str(place))
    _STAGE.chmod(0o755)
    return shown


def drop_to(uid: int) -> None:
    """Become the machine's own user, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    sources = order["sources"]
    os.umask(0o022)
    os.chdir("/")
    if order["uid"]:
        sources = stage(sources)
        drop_to(order["uid"])
    names = {_SOURCE % number: each for number, each in enumerate(sources)}
    command = [names.get(each, each) for each in order["command"]]
    if os.fork():
        os._exit(0)  # the machine is nobody's child
    os.execve(f"{command[0]}/{order['program']}", command, {})  # noqa: S606


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"the machine cannot be started: {error}")

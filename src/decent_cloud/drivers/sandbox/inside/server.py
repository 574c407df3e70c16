"""The SSH server of a sandbox machine: runs as its first own process, on a listener that was handed in.

The plan comes as one line of JSON on standard input; it holds the host key, which is nowhere else inside.
"""

from __future__ import annotations

import asyncio
import ctypes
import hmac
import json
import os
import resource
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from decent_cloud.drivers.parts import run_once
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.drivers.sandbox.inside.sessions import Sessions

USER = "root"
HOME = Path("/root")
KEYS = HOME / ".ssh" / "authorized_keys"
SHADOW = Path("/run/access/shadow")  # the password's hash; written from outside, read only in here
FIRST_SCRIPT = HOME / ".first-boot"
READY = b"ready\n"
ASKED = Path(
    "/run/access/first-script"
)  # a line that names the question, and what the program is fed with
TOLD = HOME / ".first-script.told"
STATE = HOME / ".first-script"
_LOOK_EVERY_S = 0.1

_PR_SET_DUMPABLE = 4
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What the agent says: numbers of handed-in files, the host key as OpenSSH text, limits."""

    listen_fd: int
    ready_fd: int
    host_key: str
    memory_mib: int
    file_gib: int
    max_pids: int


class Door(asyncssh.SSHServer):
    """Who may come in: `root` by its own authorized keys or by the password."""

    _connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Read the keys anew at each login: the tenant changes them at will."""
        if self._connection is not None and username == USER:
            try:
                self._connection.set_authorized_keys(str(KEYS))
            except (OSError, ValueError):
                return True  # no keys that can be read; the password may do
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        """Compare with the hash of now; a wrong user takes as long."""
        return await asyncio.to_thread(_is_password, password) and username == USER

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        """Let `ssh -L` reach what listens inside; there is nothing else to reach."""
        return True


class Files(asyncssh.SFTPServer):
    """The machine's files; ends with a code, which OpenSSH's scp takes for its own."""

    def exit(self) -> None:
        """Say that all went well."""
        self.channel.exit(0)


def _is_password(password: str) -> bool:
    try:
        kept = SHADOW.read_text(encoding="ascii").strip()
    except OSError:
        return False
    salt = kept.split("$")[2] if kept.count("$") >= 3 else "none"
    return hmac.compare_digest(hash_password(password, salt), kept)


def read_plan() -> Plan:
    """Read the plan and shut the input that it came by."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    return plan


def keep_to_ourselves() -> None:
    """Let no process of the tenant, who has our uid, look into this one."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit_all(plan: Plan) -> None:
    """Set the limits that hold for this process too; inside the namespace they count per machine."""
    resource.setrlimit(resource.RLIMIT_NPROC, (plan.max_pids, plan.max_pids))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if plan.file_gib:
        size = plan.file_gib * 1024 * _MIB
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


async def serve(plan: Plan) -> None:
    """Take logins until killed."""
    sessions = Sessions(HOME, USER, plan.memory_mib * _MIB)
    with socket.socket(fileno=plan.listen_fd) as listener:
        await asyncssh.listen(
            sock=listener,
            server_factory=Door,
            server_host_keys=[asyncssh.import_private_key(plan.host_key)],
            process_factory=sessions.run,
            sftp_factory=Files,
            allow_scp=True,
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            keepalive_interval=60,
            server_version="decent-sandbox",
        )
        os.write(plan.ready_fd, READY)
        os.close(plan.ready_fd)
        first_boot(sessions)
        await answer(sessions)


async def answer(sessions: Sessions) -> None:
    """Tell the agent how the first script stands, and start it at the first question, until killed."""
    last = b""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        try:
            name, fed = _asked()
            if name != last:
                code, said = await _run_first(sessions, fed)
                _tell(name + b"\n%d\n" % code + said)
                last = name
        except OSError:
            continue  # not asked yet, or no room: asked again later


def _asked() -> tuple[bytes, bytes]:
    name, _, fed = ASKED.read_bytes().partition(b"\n")
    return name, fed


def _tell(answer: bytes) -> None:
    draft = TOLD.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.write_bytes(answer)
    draft.replace(TOLD)


async def _run_first(sessions: Sessions, fed: bytes) -> tuple[int, bytes]:
    """Run the fixed program, which returns soon, beside all sessions."""
    child = await asyncio.create_subprocess_exec(
        *run_once.command(str(STATE)),
        cwd=HOME,
        env=sessions.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=sessions.limit,
    )
    said, _ = await child.communicate(fed)
    return child.returncode or 0, said


def first_boot(sessions: Sessions) -> None:
    """Run the offering's script once; its output stays beside it."""
    if not FIRST_SCRIPT.exists():
        return
    script = FIRST_SCRIPT.rename(FIRST_SCRIPT.with_suffix(".done"))
    with FIRST_SCRIPT.with_suffix(".log").open("wb") as log:
        subprocess.Popen(
            [str(script)],
            cwd=HOME,
            env=sessions.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=sessions.limit,  # noqa: PLW1509 - one thread, before any other exists
        )


def main() -> None:
    """Serve; the machine ends with this process."""
    plan = read_plan()
    keep_to_ourselves()
    limit_all(plan)
    os.chdir(HOME)  # what relative names of sftp mean
    asyncio.run(serve(plan))


if __name__ == "__main__":
    main()

"""Inside a running machine over SSH, its host key pinned: try a password, or set one or the keys with the agent's own.

This is the general way for backends that cannot reach into their machines. What is set goes through a
command's standard input: never an argument, never a shell's line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import asyncssh

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    FirstRun,
    RunState,
    Secret,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.parts import authorized_keys, run_once
from decent_cloud.drivers.parts.set_password import check_exit, command_line, standard_input

T = TypeVar("T")

DEADLINE_S = 20.0


class Entry(StrEnum):
    """What came of a try to log in."""

    OPEN = "open"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"
    WRONG_HOST_KEY = "wrong_host_key"


@dataclass(frozen=True, slots=True)
class GuestDoor:
    """Where a machine answers, and the host key ("ssh-ed25519 AAAA...") that it must show."""

    host: str
    port: int
    host_key: str


def try_password(
    door: GuestDoor, user: str, password: Secret, deadline_s: float = DEADLINE_S
) -> Entry:
    """Log in with a password and leave again; anything but OPEN proves nothing about older passwords."""
    return _run(_try(door, user, password), deadline_s)


def run_command(door: GuestDoor, user: str, password: Secret, command: str) -> str:
    """Log in with a password, run a command, and return what it wrote.

    Errors: AuthFailed (the password is not taken), TryLater (no answer), Broken (another machine answers).
    """
    with_password = {"password": password.reveal(), "client_keys": None}
    return _run(_command(door, user, with_password, command), DEADLINE_S)


def set_password(door: GuestDoor, key: Secret, as_user: str, user: str, password: Secret) -> None:
    """Set a user's password with a private key (OpenSSH PEM) that `as_user` is entered with.

    Anyone but root needs `sudo` without a password there. Setting the same again changes nothing more.
    Errors: Rejected (no such user, no such right), AuthFailed (the key is not taken), TryLater (no
    answer: which password works is unknown), Broken (another machine answers).
    """
    fed = standard_input(user, password.reveal())
    code, _ = _run_as_agent(door, key, as_user, command_line(sudo=as_user != "root"), fed)
    check_exit(code)


def replace_keys(
    door: GuestDoor, key: Secret, user: str, keys: tuple[SshKey, ...], kept: SshKey
) -> None:
    """Replace the SSH keys of `user`, who is entered with the private key of `kept`.

    Errors: as `set_password`; AuthFailed where the tenant has removed that key.
    """
    command = authorized_keys.command_line(authorized_keys.REPLACE)
    fed = authorized_keys.fed_to_replace(user, keys, kept)
    code, _ = _run_as_agent(door, key, user, command, fed)
    authorized_keys.check_exit(code)


def read_keys(door: GuestDoor, key: Secret, user: str) -> tuple[str, ...]:
    """Return each line by which the machine lets `user` in with a key.

    Errors: as `set_password`.
    """
    command = authorized_keys.command_line(authorized_keys.READ)
    code, said = _run_as_agent(door, key, user, command, authorized_keys.fed_to_read(user))
    authorized_keys.check_exit(code)
    return authorized_keys.lines_in(said)


def _run_as_agent(
    door: GuestDoor, key: Secret, as_user: str, command: str, fed: bytes
) -> tuple[int, str]:
    code, said = _run(_feed(door, key, as_user, command, fed), DEADLINE_S)
    if code is None:
        raise TryLater("the machine did not say what became of it")
    return code, said.decode(errors="replace")


def run_first(door: GuestDoor, key: Secret, as_user: str, script: FirstRun) -> RunState:
    """Have a first script run at most once, and tell how it stands, as `CanRunFirst` says.

    Enters as `as_user` with a private key (OpenSSH PEM); anyone but root needs `sudo` without a password there.
    Errors: AuthFailed (the key is not taken, or not yet), TryLater (no answer), Broken.
    """
    fed = run_once.standard_input(script)
    line = run_once.command_line(sudo=as_user != "root")
    return run_once.read_state(*_run(_feed(door, key, as_user, line, fed), DEADLINE_S))


async def _try(door: GuestDoor, user: str, password: Secret) -> Entry:
    try:
        async with _connect(door, user, password=password.reveal(), client_keys=None):
            return Entry.OPEN
    except asyncssh.PermissionDenied:
        return Entry.REFUSED
    except asyncssh.HostKeyNotVerifiable:
        return Entry.WRONG_HOST_KEY
    except (OSError, TimeoutError, asyncssh.Error):
        return Entry.NO_ANSWER


async def _command(door: GuestDoor, user: str, auth: dict[str, Any], command: str) -> str:
    try:
        async with _connect(door, user, **auth) as connection:
            done = await connection.run(command, check=False)
    except asyncssh.PermissionDenied as error:
        raise AuthFailed(f"the machine does not let {user} in") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise Broken("another machine answers at this address: its host key differs") from error
    except (OSError, TimeoutError, asyncssh.Error) as error:
        raise TryLater(f"no way into the machine over SSH: {type(error).__name__}") from error
    return str(done.stdout or "").strip()


async def _feed(
    door: GuestDoor, key: Secret, as_user: str, command: str, fed: bytes
) -> tuple[int | None, bytes]:
    try:
        private = asyncssh.import_private_key(key.reveal())
        async with _connect(door, as_user, client_keys=[private]) as connection:
            done = await connection.run(command, input=fed, encoding=None, check=False)
    except asyncssh.PermissionDenied as error:
        raise AuthFailed("the machine does not take the agent's management key") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise Broken("another machine answers at this address: its host key differs") from error
    except (OSError, TimeoutError, asyncssh.Error) as error:
        raise TryLater(f"no way into the machine over SSH: {type(error).__name__}") from error
    return done.exit_status, bytes(done.stdout or b"")


def _connect(door: GuestDoor, user: str, **auth: Any) -> Any:
    """Open a connection that knows this one host key, no configuration and no other identity."""
    pinned = asyncssh.import_public_key(door.host_key)
    return asyncssh.connect(
        door.host,
        door.port,
        username=user,
        known_hosts=([pinned], [], []),
        config=None,
        agent_path=None,
        connect_timeout=DEADLINE_S,
        login_timeout=DEADLINE_S,
        **auth,
    )


def _run(work: Coroutine[Any, Any, T], deadline_s: float) -> T:
    """Run it on a loop of its own, in whatever thread asks."""

    async def limited() -> T:
        async with asyncio.timeout(deadline_s):
            return await work

    try:
        return asyncio.run(limited())
    except TimeoutError as error:
        raise TryLater(f"the machine did not answer over SSH within {deadline_s:g} s") from error
    except DriverError:
        raise
    finally:
        with contextlib.suppress(RuntimeError):
            work.close()

"""The general way into a machine: an SSH server of our own, whose one command is the real one on a shadow file."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from decent_cloud.agent.keys import KeyFileUnsafe
from decent_cloud.agent.management import management_key, own_key
from decent_cloud.drivers.contract import AuthFailed, Broken, Rejected, Secret, SshKey, TryLater
from decent_cloud.drivers.parts import authorized_keys
from decent_cloud.drivers.parts.guest_ssh import (
    Entry,
    GuestDoor,
    read_keys,
    replace_keys,
    set_password,
    try_password,
)
from decent_cloud.drivers.parts.set_password import COMMAND, command_line, standard_input
from tests.support.key_lists import ssh_line

CANARY = "a'b\"c$(id)`id`;#\\ &|:%d"


@dataclass
class Guest:
    """A machine that takes one key and one password, and notes what it is told to run."""

    key: str
    password: str
    said: list[tuple[str, str]] = field(default_factory=list)
    exit_code: int = 0
    says: str = ""
    port: int = 0
    host_key: str = ""

    @property
    def door(self) -> GuestDoor:
        return GuestDoor("127.0.0.1", self.port, self.host_key)


class _Doorman(asyncssh.SSHServer):
    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("root", self._guest.password)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        shown = " ".join(key.export_public_key().decode().split()[:2])
        return shown == self._guest.key


@contextlib.contextmanager
def serving(guest: Guest) -> Iterator[Guest]:
    """Serve until the block ends."""
    loop = asyncio.new_event_loop()
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    guest.host_key = " ".join(host_key.export_public_key().decode().split()[:2])

    async def handle(process: asyncssh.SSHServerProcess[str]) -> None:
        guest.said.append((process.command or "", await process.stdin.read()))
        process.stdout.write(guest.says)
        process.exit(guest.exit_code)

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            lambda: _Doorman(guest),
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            process_factory=handle,
        )

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    guest.port = server.get_port()

    async def end() -> None:
        server.close()
        await server.wait_closed()

    try:
        yield guest
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    with serving(Guest(own_key(str(tmp_path)).line(), "right")) as running:
        yield running


def test_a_password_opens_or_not_behind_the_pinned_host_key(guest: Guest, tmp_path: Path) -> None:
    assert try_password(guest.door, "root", Secret("right")) is Entry.OPEN
    assert try_password(guest.door, "root", Secret("wrong")) is Entry.REFUSED
    other = GuestDoor("127.0.0.1", guest.port, own_key(str(tmp_path)).line())
    assert try_password(other, "root", Secret("right")) is Entry.WRONG_HOST_KEY
    nobody = GuestDoor("127.0.0.1", 1, guest.host_key)
    assert try_password(nobody, "root", Secret("right")) is Entry.NO_ANSWER


def test_a_password_is_set_by_its_hash_on_standard_input(guest: Guest, tmp_path: Path) -> None:
    key = management_key(tmp_path)
    set_password(guest.door, key, "root", "root", Secret(CANARY))
    ((command, fed),) = guest.said
    assert command == command_line()
    assert fed.startswith("root:$6$")
    assert fed.endswith("\n")
    assert CANARY not in command + fed


def test_what_goes_wrong_has_one_of_the_five_errors(guest: Guest, tmp_path: Path) -> None:
    key = management_key(tmp_path)
    guest.exit_code = 9
    with pytest.raises(Rejected) as refused:
        set_password(guest.door, key, "root", "root", Secret(CANARY))
    assert CANARY not in f"{refused.value!r} {refused.value.details}"
    (tmp_path / "other").mkdir()
    stranger = management_key(tmp_path / "other")
    with pytest.raises(AuthFailed):
        set_password(guest.door, stranger, "root", "root", Secret("x"))
    other = GuestDoor("127.0.0.1", guest.port, own_key(str(tmp_path)).line())
    with pytest.raises(Broken):
        set_password(other, key, "root", "root", Secret("x"))
    with pytest.raises(TryLater):
        set_password(GuestDoor("127.0.0.1", 1, guest.host_key), key, "root", "root", Secret("x"))


def test_keys_are_replaced_and_read_with_the_key_that_stays(guest: Guest, tmp_path: Path) -> None:
    key, own = management_key(tmp_path), own_key(str(tmp_path))
    wanted = SshKey.parse(ssh_line(1))
    replace_keys(guest.door, key, "ada", (wanted,), own)
    guest.says = f"# comment\n{wanted.line()}\n{own.line()}\nend\n"
    assert read_keys(guest.door, key, "ada") == (wanted.line(), own.line())
    (replaced, fed), (read, user) = guest.said
    assert replaced == authorized_keys.command_line(authorized_keys.REPLACE)
    assert fed == f"ada\n{own.line()}\n{wanted.line()}\nend\n"
    assert (read, user) == (authorized_keys.command_line(authorized_keys.READ), "ada\n")


def test_keys_that_cannot_be_replaced_have_one_of_the_five_errors(
    guest: Guest, tmp_path: Path
) -> None:
    key, own = management_key(tmp_path), own_key(str(tmp_path))
    wanted = (SshKey.parse(ssh_line(1)),)
    guest.exit_code = 1
    with pytest.raises(Rejected):
        replace_keys(guest.door, key, "root", wanted, own)
    with pytest.raises(Rejected):
        read_keys(guest.door, key, "root")
    guest.exit_code = 0
    with pytest.raises(TryLater, match="cut off"):
        read_keys(guest.door, key, "root")
    (tmp_path / "other").mkdir()
    with pytest.raises(AuthFailed):
        replace_keys(guest.door, management_key(tmp_path / "other"), "root", wanted, own)
    other = GuestDoor("127.0.0.1", guest.port, own.line())
    with pytest.raises(Broken):
        replace_keys(other, key, "root", wanted, own)
    with pytest.raises(TryLater):
        replace_keys(GuestDoor("127.0.0.1", 1, guest.host_key), key, "root", wanted, own)


@pytest.mark.parametrize(
    ("user", "password"), [("root:x", "p"), ("", "p"), ("root", "a\nb"), ("root", "")]
)
def test_what_would_be_two_lines_or_none_is_refused(user: str, password: str) -> None:
    with pytest.raises(Rejected):
        standard_input(user, password)


def test_who_is_not_root_uses_sudo_that_asks_nothing() -> None:
    assert command_line(sudo=True) == f"sudo -n {command_line()}"
    assert COMMAND[0] == "/bin/sh"


def test_the_management_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = management_key(tmp_path)
    assert management_key(tmp_path).reveal() == first.reveal()
    path = tmp_path / "management.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert own_key(str(tmp_path)).type == "ssh-ed25519"
    path.chmod(0o640)
    with pytest.raises(KeyFileUnsafe):
        management_key(tmp_path)

"""A machine after its first start: what its user data and its vendor set, behind a real SSH server on loopback.

Commands run in a real shell whose programs work on files of the machine's own, never on this host's.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh

from decent_cloud.drivers.parts.password_hash import hash_password

LOOPBACK = "127.0.0.1"
_LONGEST_S = 30
# A shadow file for each user: <user>.hash, locked by a "!" in front, and <user>.expired beside it.
_PROGRAMS = {
    "chpasswd": """while IFS=: read -r user hash; do printf %s "$hash" > "$GUEST/$user.hash"; done""",
    "chage": """for user; do :; done; rm -f "$GUEST/$user.expired\"""",
    "passwd": """for user; do :; done; hash=$(cat "$GUEST/$user.hash"); printf '!%s' "$hash" > "$GUEST/$user.hash\"""",
    "sed": """exec /usr/bin/sed -i "$2" "$GUEST/homes/root/.ssh/authorized_keys\"""",
    "sudo": """shift; exec "$@\"""",
}


class Guest:
    """One machine; `vendor_password` is what its vendor would have root log in with."""

    def __init__(
        self,
        folder: Path,
        user_data: str,
        vendor_password: str = "",
        vendor_keys: tuple[str, ...] = (),
    ) -> None:
        self._folder = folder
        self._config: dict[str, Any] = json.loads(user_data.removeprefix("#cloud-config"))
        self.port = 0
        self.host_key = asyncssh.import_private_key(self._config["ssh_keys"]["ed25519_private"])
        folder.mkdir(parents=True)
        for name, body in _PROGRAMS.items():
            program = folder / name
            program.write_text(f"#!/bin/sh\n{body}\n")
            program.chmod(0o755)
        self._move_in("root")
        self._first_start(vendor_password, vendor_keys)

    def run(self, command: str, fed: bytes = b"") -> tuple[int, bytes]:
        """Run a command as root; return its exit code and what it said."""
        environment = {"GUEST": str(self._folder), "PATH": f"{self._folder}:/usr/bin:/bin"}
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace("/etc/passwd", str(self._folder / "etc-passwd"))],
            input=fed,
            env=environment,
            capture_output=True,
            check=False,
            timeout=_LONGEST_S,
        )
        return done.returncode, done.stdout

    def lets_in(self, user: str, password: str) -> bool:
        """Tell whether a password opens the machine at once: neither locked nor to be changed first."""
        file = self._folder / f"{user}.hash"
        if not file.exists() or (self._folder / f"{user}.expired").exists():
            return False
        stored = file.read_text()
        if not stored.startswith("$"):
            return False
        return hash_password(password, stored.split("$")[2]) == stored

    def takes_key(self, user: str, line: str) -> bool:
        """Tell whether a public key opens the machine."""
        return line.split()[:2] in [each.split()[:2] for each in self.keys(user)]

    def keys(self, user: str) -> list[str]:
        """Return the lines that let a user in."""
        file = self._key_file(user)
        return file.read_text().splitlines() if file.exists() else []

    def remove_key(self, user: str, line: str) -> None:
        """Take a key out, as a tenant may."""
        kept = [each for each in self.keys(user) if each.split()[:2] != line.split()[:2]]
        self._key_file(user).write_text("".join(f"{each}\n" for each in kept))

    def _key_file(self, user: str) -> Path:
        return self._folder / "homes" / user / ".ssh" / "authorized_keys"

    def _move_in(self, user: str) -> None:
        """Give a user a home, and a line in the machine's own passwd."""
        home = self._key_file(user).parent.parent
        if not home.exists():
            self._key_file(user).parent.mkdir(mode=0o700, parents=True)
            with (self._folder / "etc-passwd").open("a") as file:
                file.write(f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n")

    def _first_start(self, vendor_password: str, vendor_keys: tuple[str, ...]) -> None:
        """Do what cloud-init does, the vendor's own part after ours, commands last of all."""
        for each in self._config["users"]:
            lines = "".join(f"{line}\n" for line in each["ssh_authorized_keys"])
            self._move_in(each["name"])
            self._key_file(each["name"]).write_text(lines)
        for each in self._config["chpasswd"]["users"]:
            (self._folder / f"{each['name']}.hash").write_text(each["password"])
        if vendor_password:
            (self._folder / "root.hash").write_text(hash_password(vendor_password))
            (self._folder / "root.expired").touch()
        if self._config.get("allow_public_ssh_keys", True) and vendor_keys:
            with self._key_file("root").open("a") as file:
                file.writelines(f"{line}\n" for line in vendor_keys)
        for command in self._config.get("runcmd", []):
            self.run(command if isinstance(command, str) else command[-1])


class _Doorman(asyncssh.SSHServer):
    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._guest.lets_in(username, password)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._guest.takes_key(username, key.export_public_key().decode())


class Guests:
    """The SSH servers of any number of machines, on one loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="guests")
        self._servers: list[asyncssh.SSHAcceptor] = []
        self._thread.start()

    def serve(self, guest: Guest) -> Guest:
        """Open the machine's door; its port is known then."""
        server = asyncio.run_coroutine_threadsafe(_open(guest), self._loop).result(_LONGEST_S)
        self._servers.append(server)
        guest.port = server.get_port()
        return guest

    def close(self) -> None:
        """Close every door."""
        for server in self._servers:
            self._loop.call_soon_threadsafe(server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LONGEST_S)
        self._loop.close()


@contextmanager
def open_guests() -> Iterator[Guests]:
    """Serve machines until the block ends."""
    guests = Guests()
    try:
        yield guests
    finally:
        guests.close()


async def _open(guest: Guest) -> asyncssh.SSHAcceptor:
    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        fed = await process.stdin.read()
        code, said = await asyncio.to_thread(guest.run, process.command or "", fed)
        process.stdout.write(said)
        process.exit(code)

    return await asyncssh.create_server(
        lambda: _Doorman(guest),
        LOOPBACK,
        0,
        server_host_keys=[guest.host_key],
        process_factory=handle,
        encoding=None,
    )

"""A vantage point for SSH: connect, read the banner, finish the key exchange, compare the host key."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from dataclasses import dataclass

import asyncssh

from decent_cloud.adapters.reach.guard import (
    Address,
    AddressGuard,
    AddressRefused,
    NameUnknown,
    ResolverSilent,
)
from decent_cloud.app.ports.reach import Reached, ReachResult

_BANNER = b"SSH-"
_BANNER_PEEK_BYTES = 4
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
# What the kernel says when it is this machine that has no way out.
_NO_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class SshReach:
    """Checks from this machine. `anchors` are (host, port) that answer whenever its network works."""

    guard: AddressGuard
    deadline_s: float = 5.0
    anchors: tuple[tuple[str, int], ...] = ()

    async def check(self, host: str, port: int, host_keys: tuple[str, ...]) -> ReachResult:
        """Connect, read the SSH banner, finish the key exchange and compare the host key; never raises."""
        began_s = time.monotonic()
        reached, detail = await self._look(host, port, host_keys)
        return ReachResult(reached, detail, round((time.monotonic() - began_s) * 1_000))

    async def _look(self, host: str, port: int, host_keys: tuple[str, ...]) -> tuple[Reached, str]:
        attempt = _Attempt(port, host_keys)
        try:
            async with asyncio.timeout(self.deadline_s):
                attempt.addresses = await self.guard.resolve(host, port)
                reached, detail = await _try_each(attempt)
        except ResolverSilent as error:
            return Reached.BLIND, error.message
        except NameUnknown as error:
            reached, detail = Reached.NO_CONNECTION, error.message
        except AddressRefused as error:
            return Reached.REFUSED_ADDRESS, error.message
        except TimeoutError:
            reached = Reached.NO_BANNER if attempt.connected else Reached.NO_CONNECTION
            detail = f"no answer within {self.deadline_s:g} s"
        unreached = reached is Reached.NO_CONNECTION and not attempt.all_loopback
        if unreached and not await self._can_see():
            return Reached.BLIND, "no anchor can be reached from here"
        return reached, detail

    async def _can_see(self) -> bool:
        """Tell whether this machine's own network works, as far as anchors are configured."""
        if not self.anchors:
            return True
        for host, port in self.anchors:
            try:
                async with asyncio.timeout(self.deadline_s):
                    _, writer = await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return True
        return False


@dataclass(slots=True)
class _Attempt:
    """How far one check came, for when its time runs out."""

    port: int
    host_keys: tuple[str, ...]
    addresses: tuple[Address, ...] = ()
    connected: bool = False

    @property
    def all_loopback(self) -> bool:
        return bool(self.addresses) and all(one.is_loopback for one in self.addresses)


async def _try_each(attempt: _Attempt) -> tuple[Reached, str]:
    found = (Reached.NO_CONNECTION, "no address")
    for address in attempt.addresses:
        try:
            sock = await _connect(address, attempt.port)
        except OSError as error:
            blind = error.errno in _NO_NETWORK and not address.is_loopback
            found = (Reached.BLIND if blind else Reached.NO_CONNECTION, _why(error))
            continue
        attempt.connected = True
        with sock:
            return await _greet(sock, str(address), attempt)
    return found


async def _connect(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _greet(sock: socket.socket, address: str, attempt: _Attempt) -> tuple[Reached, str]:
    port, host_keys = attempt.port, attempt.host_keys
    try:
        banner = await _peek(sock)
        if banner != _BANNER:
            return Reached.NO_BANNER, "it answers, but not with an SSH banner"
        key = await asyncssh.get_server_host_key(
            address,
            port,
            sock=sock,
            config=None,
            server_host_key_algs=_algorithms(host_keys),
        )
    except asyncssh.KeyExchangeFailed:
        return Reached.WRONG_HOST_KEY, "it has no host key of the reported types"
    except ValueError:
        return Reached.WRONG_HOST_KEY, "the reported host keys are of no type that can be checked"
    except (OSError, asyncssh.Error) as error:
        return Reached.NO_BANNER, f"the SSH handshake broke: {error}"
    shown = "" if key is None else " ".join(key.export_public_key().decode().split()[:2])
    if shown not in {" ".join(line.split()[:2]) for line in host_keys}:
        return Reached.WRONG_HOST_KEY, "its host key is not the reported one"
    return Reached.OK, "address, banner and host key fit"


async def _peek(sock: socket.socket) -> bytes:
    """Return the first bytes the server says, and leave them for the handshake."""
    while True:
        await _readable(sock)
        seen = sock.recv(_BANNER_PEEK_BYTES, socket.MSG_PEEK)
        if not seen or not _BANNER.startswith(seen) or len(seen) == _BANNER_PEEK_BYTES:
            return seen
        await asyncio.sleep(0.005)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


def _algorithms(host_keys: tuple[str, ...]) -> list[str]:
    """Ask only for the reported types, so that a server with several keys shows one we know."""
    found: list[str] = []
    for line in host_keys:
        kind = line.split(" ", 1)[0]
        found += _RSA if kind == "ssh-rsa" else (kind,)
    return list(dict.fromkeys(found))


def _why(error: OSError) -> str:
    # The loop puts a sentence of its own in `strerror`.
    return os.strerror(error.errno).lower() if error.errno else str(error)

"""Whether an instance answers: address, banner and host key, against real SSH servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import asyncssh
import pytest
import uvloop

from decent_cloud.adapters.reach.guard import AddressGuard
from decent_cloud.adapters.reach.ssh import SshReach
from decent_cloud.app.ports.reach import Reached, ReachResult

ED25519 = asyncssh.generate_private_key("ssh-ed25519")
ECDSA = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
OTHER = asyncssh.generate_private_key("ssh-ed25519")
REACH = SshReach(AddressGuard(loopback=True), deadline_s=2.0)
Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


def line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


@asynccontextmanager
async def ssh_server(*keys: asyncssh.SSHKey) -> AsyncIterator[int]:
    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=list(keys))
    async with server:
        yield server.get_port()


@asynccontextmanager
async def plain_server(speak: Speak) -> AsyncIterator[int]:
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        await speak(reader, writer)
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*talks)


def check_ssh(keys: tuple[asyncssh.SSHKey, ...], *asked: str) -> ReachResult:
    async def run() -> ReachResult:
        async with ssh_server(*keys) as port:
            return await REACH.check("127.0.0.1", port, asked)

    return asyncio.run(run())


def check_plain(speak: Speak, reach: SshReach = REACH) -> ReachResult:
    async def run() -> ReachResult:
        async with plain_server(speak) as port:
            return await reach.check("127.0.0.1", port, (line(ED25519),))

    return asyncio.run(run())


@pytest.mark.parametrize("key", [ED25519, ECDSA, RSA], ids=["ed25519", "ecdsa", "rsa"])
def test_the_reported_key_is_found(key: asyncssh.SSHKey) -> None:
    found = check_ssh((key,), line(key) + " a comment")
    assert found.reached is Reached.OK, found


def test_one_of_several_keys_is_enough() -> None:
    assert check_ssh((ED25519, ECDSA), line(ECDSA)).reached is Reached.OK
    assert check_ssh((ED25519,), line(ECDSA), line(ED25519)).reached is Reached.OK


def test_another_key_is_not_the_instance() -> None:
    assert check_ssh((ED25519,), line(OTHER)).reached is Reached.WRONG_HOST_KEY
    assert check_ssh((ED25519,), line(ECDSA)).reached is Reached.WRONG_HOST_KEY


@pytest.mark.parametrize("asked", [(), ("",), ("garbage",), ("ssh-ed25519",), ("x y",)])
def test_keys_that_are_none_match_nothing(asked: tuple[str, ...]) -> None:
    assert check_ssh((ED25519,), *asked).reached is Reached.WRONG_HOST_KEY


def test_a_closed_port_is_no_connection() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        found = asyncio.run(REACH.check("127.0.0.1", port, (line(ED25519),)))
    assert found.reached is Reached.NO_CONNECTION
    assert "refused" in found.detail


async def _web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await writer.drain()
    writer.close()


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"SSH-2.0-slow\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.close()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize("speak", [_web, _hang_up, _slowly])
def test_what_speaks_no_ssh_has_no_banner(speak: Speak) -> None:
    assert check_plain(speak).reached is Reached.NO_BANNER


def test_silence_ends_with_the_deadline() -> None:
    found = check_plain(_silence, SshReach(AddressGuard(loopback=True), deadline_s=0.2))
    assert found.reached is Reached.NO_BANNER
    assert 150 < found.took_ms < 2_000


def test_a_refused_address_is_not_connected_to() -> None:
    guarded = SshReach(AddressGuard())
    for host in ("127.0.0.1", "169.254.169.254", "localhost", "10.0.0.1"):
        assert asyncio.run(guarded.check(host, 22, ())).reached is Reached.REFUSED_ADDRESS


def test_an_unknown_name_is_no_connection() -> None:
    found = asyncio.run(REACH.check("no-such-host.invalid", 22, ()))
    assert found.reached in {Reached.NO_CONNECTION, Reached.BLIND}


def test_a_vantage_point_without_network_is_blind_but_never_on_loopback() -> None:
    async def run() -> tuple[ReachResult, ReachResult]:
        # Nothing answers at the anchor: this machine has no network, as far as it can tell.
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            blind = SshReach(
                AddressGuard(loopback=True), deadline_s=0.3, anchors=(("127.0.0.1", port),)
            )
            elsewhere = await blind.check("no-such-host.invalid", 22, ())
            here = await blind.check("127.0.0.1", port, ())
        return elsewhere, here

    elsewhere, here = asyncio.run(run())
    assert elsewhere.reached is Reached.BLIND
    assert here.reached is Reached.NO_CONNECTION


def test_an_anchor_that_answers_makes_failures_count() -> None:
    async def run() -> ReachResult:
        async with plain_server(_silence) as port:
            seeing = SshReach(AddressGuard(loopback=True), 0.5, (("127.0.0.1", port),))
            return await seeing.check("no-such-host.invalid", 22, ())

    # A machine that cannot even ask a resolver is blind all the same.
    assert asyncio.run(run()).reached in {Reached.NO_CONNECTION, Reached.BLIND}


def test_a_check_on_loopback_is_quick() -> None:
    async def run() -> float:
        async with ssh_server(ED25519) as port:
            await REACH.check("127.0.0.1", port, (line(ED25519),))
            began = time.process_time()
            for _ in range(5):
                found = await REACH.check("127.0.0.1", port, (line(ED25519),))
                assert found.reached is Reached.OK
            return (time.process_time() - began) / 5

    # Both sides of the handshake run here, so this is twice the work of a check.
    assert asyncio.run(run()) < 0.06


def test_checks_work_on_the_loop_that_the_server_runs() -> None:
    async def run() -> list[Reached]:
        asked = (line(ED25519),)
        quick = SshReach(AddressGuard(loopback=True), deadline_s=0.2)
        async with (
            ssh_server(ED25519) as right,
            ssh_server(OTHER) as wrong,
            plain_server(_web) as web,
            plain_server(_silence) as silent,
        ):
            found = [
                await reach.check("127.0.0.1", port, asked)
                for reach, port in ((REACH, right), (REACH, wrong), (REACH, web), (quick, silent))
            ]
        return [one.reached for one in found]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == [
            Reached.OK,
            Reached.WRONG_HOST_KEY,
            Reached.NO_BANNER,
            Reached.NO_BANNER,
        ]

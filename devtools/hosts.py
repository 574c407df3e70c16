"""Hosts of several providers on this machine: a network namespace with an engine each, and cables to pull.

The caller's thread gets a network of its own for the time, where the platform lives. Nothing of all this has a
name outside: when the processes in it are gone, however they went, namespaces, links and rules are gone too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.engine import Engine, EngineUnavailable

ROOT = Path(__file__).resolve().parent.parent
PLATFORM = "10.77.0.1"
RANGE = "10.77.0.0/24"
_BRIDGE = "dcswitch"
_CLONE_NEWNET = 0x40000000
_ENGINE_TIMEOUT_S = 100.0


class HostsUnavailable(Exception):
    """No networks of our own can be made here; the text says why."""


def enter_network(path: str) -> None:
    """Let this thread live in the network that this file stands for; raises OSError."""
    here = os.open(path, os.O_RDONLY)
    try:
        _checked(ctypes.CDLL(None, use_errno=True).setns(here, _CLONE_NEWNET))
    finally:
        os.close(here)


@dataclass(frozen=True, slots=True)
class Host:
    """One provider's machine: its address, its network as a file, its engine, its end of the cable here."""

    address: str
    network: str
    engine: Engine
    cable: str

    def cut(self) -> None:
        """Pull the cable: nothing gets in or out, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.cable, "up")

    def hide(self, port: int) -> None:
        """Drop what programs of this host send to a port of the platform; its machines stay reachable."""
        self._rule("-I", port)

    def show(self, port: int) -> None:
        """End `hide`."""
        self._rule("-D", port)

    def _rule(self, verb: str, port: int) -> None:
        rule = ("OUTPUT", "-d", PLATFORM, "-p", "tcp", "--dport", str(port), "-j", "DROP")
        _in_network(self.network, "iptables", "-w", "10", verb, *rule)


@contextlib.contextmanager
def hosts(folders: Sequence[Path]) -> Iterator[tuple[str, tuple[Host, ...]]]:
    """Give the platform's network (as a file; this thread is in it) and a host for each engine's folder.

    Errors: HostsUnavailable, EngineUnavailable.
    """
    with _own_network() as here, contextlib.ExitStack() as running:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{PLATFORM}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        begun = [running.enter_context(_keeper(folder)) for folder in folders]
        made = [_host(number, keeper) for number, keeper in enumerate(begun, 1)]
        yield (
            here,
            tuple(
                Host(address, network, _engine(keeper, folder), cable)
                for keeper, folder, (address, network, cable) in zip(
                    begun, folders, made, strict=True
                )
            ),
        )


@contextlib.contextmanager
def _own_network() -> Iterator[str]:
    """Give this thread a network of its own, and its old one back."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        try:
            _checked(libc.unshare(_CLONE_NEWNET))
        except OSError as error:
            raise HostsUnavailable(f"no network namespace can be made here: {error}") from error
        try:
            yield f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"
        finally:
            _checked(libc.setns(before, _CLONE_NEWNET))
    finally:
        os.close(before)


@contextlib.contextmanager
def _keeper(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an engine in a network of its own until the block ends or this process is gone."""
    command = ["unshare", "--net", sys.executable, "-m", "devtools.engine", "hold", str(folder)]
    keeper = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )
    try:
        yield keeper
    finally:
        if keeper.stdin and keeper.stdout:
            keeper.stdin.close()
            keeper.wait()
            keeper.stdout.close()


def _host(number: int, keeper: subprocess.Popen[bytes]) -> tuple[str, str, str]:
    """Lay a cable from the switch to a keeper's network; return address, network and our end."""
    address, cable = f"10.77.0.{10 + number}", f"dchost{number}"
    network = f"/proc/{keeper.pid}/ns/net"
    ours = _link("/proc/thread-self/ns/net")
    end = time.monotonic() + 10
    while (theirs := _link(network)) == ours:
        if time.monotonic() > end:
            raise HostsUnavailable("unshare gives no network namespace")
        time.sleep(0.01)
    if not theirs:
        raise HostsUnavailable("unshare --net is refused here")
    peer = ("peer", "name", "eth0", "netns", str(keeper.pid))
    _ip("link", "add", cable, "type", "veth", *peer)
    _ip("link", "set", cable, "master", _BRIDGE, "up")
    _in_network(network, "ip", "link", "set", "lo", "up")
    _in_network(network, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
    _in_network(network, "ip", "link", "set", "eth0", "up")
    _in_network(network, "ip", "route", "add", "default", "via", PLATFORM)
    return address, network, cable


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _engine(keeper: subprocess.Popen[bytes], folder: Path) -> Engine:
    """Wait for the engine that a keeper starts."""
    if keeper.stdout is None or not select.select([keeper.stdout], [], [], _ENGINE_TIMEOUT_S)[0]:
        raise EngineUnavailable("an engine in a network of its own does not start")
    said = keeper.stdout.readline().decode().strip()
    if not said.startswith("unix://"):
        raise EngineUnavailable(said or "an engine in a network of its own does not start")
    return Engine(said, True, folder)


def _in_network(network: str, *command: str) -> None:
    _run("nsenter", f"--net={network}", *command)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise HostsUnavailable(f"{' '.join(command)}: {done.stderr.strip()}")


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

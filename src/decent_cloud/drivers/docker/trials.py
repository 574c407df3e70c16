"""What is tried from inside a machine: each limit, and each way out that must be shut."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from decent_cloud.drivers.contract import Limit
from decent_cloud.drivers.docker.api import Engine

CPU_MILLI = 250
MEMORY_MIB = 64
DISK_MIB = 64
MAX_PIDS = 48

_KILLED = 137
_BURN = (
    "(while :; do :; done) & burner=$!; usleep 400000; kill -9 $burner;"
    " cat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu.stat 2>/dev/null"
)
_SWALLOW = f"dd if=/dev/zero of=/dev/null bs={MEMORY_MIB * 2}M count=1"
_FILL = f"dd if=/dev/zero of=/fill bs=1M count={DISK_MIB * 2}; s=$?; rm -f /fill; exit $s"
_FORK = f"i=0; while [ $i -lt {MAX_PIDS * 2} ]; do sleep 2 >/dev/null 2>&1 & i=$((i+1)); done; echo no limit"
# A neighbour or the host answers within a millisecond, if at all; on a busy host not even the
# machine itself does, and then it is tried again for longer.
_KNOCKS_US = (500_000, 2_000_000, 6_000_000)


@dataclass(frozen=True, slots=True)
class Inside:
    """A running trial machine."""

    engine: Engine
    name: str

    def run(self, script: str) -> tuple[int, str]:
        """Run a shell script inside."""
        return self.engine.run_in(self.name, ["/bin/sh", "-c", script])

    def place(self, name: str) -> tuple[str, str]:
        """Return address and gateway of a machine, from the engine."""
        record = self.engine.inspect(name) or {}
        for network in record.get("NetworkSettings", {}).get("Networks", {}).values():
            return str(network.get("IPAddress", "")), str(network.get("Gateway", ""))
        return "", ""


def enforced(inside: Inside, *, disk: bool) -> frozenset[Limit]:
    """Return the limits that hold; the last trial leaves the machine full of processes."""
    holds = {
        Limit.CPU: _throttled(inside.run(_BURN)[1]),
        Limit.MEMORY: inside.run(_SWALLOW)[0] == _KILLED,
        Limit.DISK: disk and inside.run(_FILL)[0] != 0,
        Limit.PIDS: "no limit" not in inside.run(_FORK)[1],
    }
    return frozenset(limit for limit, held in holds.items() if held)


def reached(inside: Inside, neighbour: str) -> list[str]:
    """Return what can be reached from inside and must not; with proof that the trial can tell."""
    own, gateway = inside.place(inside.name)
    other, _ = inside.place(neighbour)
    with _listener() as port:
        targets = {
            "itself": (own, 22),
            "a neighbour": (other, 22),
            "the host": (gateway, port),
        }
        tries = "".join(
            f"(nc {host} {number} </dev/null >/dev/null 2>&1 && echo '{name}') & "
            for name, (host, number) in targets.items()
        )
        for wait_us in _KNOCKS_US:
            knock = f"{tries} usleep {wait_us}; killall -9 nc 2>/dev/null; wait"
            open_ = set(inside.run(knock)[1].splitlines())
            if "itself" in open_:
                return sorted(open_ - {"itself"})
    return ["unknown: the machine cannot even reach itself"]


def _throttled(text: str) -> bool:
    words = text.split()
    return any(
        name == "nr_throttled" and int(value) > 0 for name, value in itertools.pairwise(words)
    )


@contextlib.contextmanager
def _listener() -> Iterator[int]:
    """Listen on every address of this host for the time of the block."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - that is what is tried
        server.settimeout(0.2)
        done = threading.Event()

        def take() -> None:
            while not done.is_set():
                with contextlib.suppress(OSError):
                    server.accept()[0].close()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            done.set()
            thread.join()

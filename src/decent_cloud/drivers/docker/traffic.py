"""What a container received and sent: the host's own counters of its bridge, else the engine's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decent_cloud.drivers.contract import Broken, Traffic, TryLater
from decent_cloud.drivers.docker import mapping
from decent_cloud.drivers.docker.api import Engine

_DEVICES = Path("/proc/net/dev")
_BOOT = Path("/proc/stat")


def read(engine: Engine, record: dict[str, Any], platform: str, contract: str) -> Traffic:
    """Return the traffic of a container with this record.

    The bridge is the machine's alone and outlives its stops and restarts, and the engine's; its counters
    begin with the host's start at the earliest. An engine elsewhere counts for itself, from the container's
    last start. Errors: TryLater, Broken.
    """
    bridge = mapping.bridge_name(platform, contract)
    counted = counters(_DEVICES.read_text(), bridge)
    network = engine.inspect_network(record["Name"].lstrip("/")) if counted else None
    if counted and network is not None:
        from_machine, to_machine = counted
        made_ms = mapping.engine_time(network["Created"])
        return Traffic(to_machine, from_machine, max(made_ms, boot_ms(_BOOT.read_text())))
    return _of_engine(engine, record)


def counters(devices: str, name: str) -> tuple[int, int] | None:
    """Read how many bytes a device received and sent, from the kernel's table; None if it has no such device."""
    for line in devices.splitlines():
        device, _, numbers = line.partition(":")
        if device.strip() == name:
            fields = numbers.split()
            return int(fields[0]), int(fields[8])
    return None


def boot_ms(stat: str) -> int:
    """Read when this host started. Errors: Broken."""
    for line in stat.splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) * 1_000
    raise Broken("the kernel does not say when this host started")


def _of_engine(engine: Engine, record: dict[str, Any]) -> Traffic:
    if record["State"]["Status"] not in {"running", "paused"}:
        raise TryLater("a machine that stands still on another host has no counters", after_s=60)
    networks = engine.stats(record["Id"]).get("networks") or {}
    return Traffic(
        sum(int(each["rx_bytes"]) for each in networks.values()),
        sum(int(each["tx_bytes"]) for each in networks.values()),
        mapping.engine_time(record["State"]["StartedAt"]),
    )

"""How the contract's words read in the engine's: names, labels, create bodies, states."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from decent_cloud.drivers.contract import (
    LABEL_ATTEMPT,
    LABEL_CONTRACT,
    LABEL_PLATFORM,
    Handle,
    InstanceSpec,
    Observation,
)
from decent_cloud.drivers.docker.settings import DockerSettings
from decent_cloud.kernel.clock import parse_rfc3339
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

DRIVER = "docker"
LABEL_PORT = "dev.decent.port"  # lists show no ports of stopped containers
BRIDGE_PREFIX = "dcx"
SSH_PORT = "22/tcp"
CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
]
_STATES = {
    "created": Observed.CREATING,
    "running": Observed.RUNNING,
    "restarting": Observed.RUNNING,
    "paused": Observed.STOPPED,
    "exited": Observed.STOPPED,
    "removing": Observed.DELETING,
    "dead": Observed.DELETING,
}


def labels(platform: str, contract: str, attempt: str = "") -> dict[str, str]:
    """Return the labels that make a container or network ours."""
    ours = {LABEL_PLATFORM: platform, LABEL_CONTRACT: contract}
    return {**ours, LABEL_ATTEMPT: attempt} if attempt else ours


def bridge_name(platform: str, contract: str) -> str:
    """Return the bridge's name on the host: the prefix and 12 digits, as long as Linux allows."""
    digest = hashlib.sha256(f"{platform}/{contract}".encode()).hexdigest()
    return BRIDGE_PREFIX + digest[:12]


def create_body(
    spec: InstanceSpec, image: str, settings: DockerSettings, *, disk_mib: int
) -> dict[str, Any]:
    """Return the body of the create call; no secret is in it. `disk_mib` 0: without a limit."""
    memory = spec.memory_mib * 1024 * 1024
    host: dict[str, Any] = {
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": spec.cpu_milli * 1_000_000,
        "PidsLimit": settings.max_pids,
        "CapDrop": ["ALL"],
        "CapAdd": CAPABILITIES,
        "SecurityOpt": ["no-new-privileges"],
        "RestartPolicy": {"Name": "unless-stopped"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
        "NetworkMode": spec.name,
        "Dns": list(settings.dns),
    }
    if spec.ssh_port:
        published = {"HostIp": settings.bind, "HostPort": str(spec.ssh_port)}
        host["PortBindings"] = {SSH_PORT: [published]}
    if disk_mib:
        host["StorageOpt"] = {"size": f"{disk_mib}m"}
    return {
        "Image": image,
        "Hostname": spec.name,
        "Labels": {
            **labels(spec.platform, spec.contract, spec.attempt),
            LABEL_PORT: str(spec.ssh_port),
        },
        "ExposedPorts": {SSH_PORT: {}},
        "HostConfig": host,
    }


def is_ours(found: Mapping[str, str], platform: str, contract: str) -> bool:
    """Tell whether labels are those of this platform and contract."""
    return (found.get(LABEL_PLATFORM), found.get(LABEL_CONTRACT)) == (platform, contract)


def port_of(found: Mapping[str, str]) -> int:
    """Return the host port that labels name, 0 for none."""
    text = found.get(LABEL_PORT, "")
    return int(text) if text.isdigit() else 0


def handle(name: str) -> Handle:
    """Return the handle of an instance; the name is all it takes."""
    return Handle(DRIVER, {"name": name})


def observe_made(spec: InstanceSpec, scope: str, address: str, now_ms: int) -> Observation:
    """Say what was just made and started, without another read."""
    return Observation(
        contract=spec.contract,
        state=Observed.RUNNING,
        scope=scope,
        handle=handle(spec.name),
        host=address,
        port=spec.ssh_port,
        attempt=spec.attempt,
        created_at_ms=now_ms,
    )


def observe_record(record: Mapping[str, Any], scope: str, address: str) -> Observation:
    """Read one inspected container."""
    state, own = record["State"], record["Config"].get("Labels") or {}
    return Observation(
        contract=ContractId(own.get(LABEL_CONTRACT, "")),
        state=_STATES.get(state["Status"], Observed.UNKNOWN),
        scope=scope,
        handle=handle(record["Name"].lstrip("/")),
        host=address,
        port=port_of(own),
        attempt=own.get(LABEL_ATTEMPT, ""),
        created_at_ms=engine_time(record["Created"]),
        detail=_detail(state, int(record.get("RestartCount") or 0)),
    )


def observe_listed(record: Mapping[str, Any], scope: str, address: str) -> Observation:
    """Read one listed container."""
    own = record.get("Labels") or {}
    state = record["State"]
    return Observation(
        contract=ContractId(own.get(LABEL_CONTRACT, "")),
        state=_STATES.get(state, Observed.UNKNOWN),
        scope=scope,
        handle=handle(record["Names"][0].lstrip("/")),
        host=address,
        port=port_of(own),
        attempt=own.get(LABEL_ATTEMPT, ""),
        created_at_ms=int(record["Created"]) * 1_000,
        detail=state if state in {"restarting", "paused", "dead"} else "",
    )


def _detail(state: Mapping[str, Any], restarts: int) -> str:
    """Return what a person should know beside the state."""
    said = []
    if state["Status"] in {"restarting", "paused", "dead"}:
        said.append(str(state["Status"]))
    if state.get("OOMKilled"):
        said.append("out of memory")
    if restarts:
        said.append(f"restarted {restarts} times")
    if state["Status"] == "exited" and state.get("ExitCode"):
        said.append(f"exit code {state['ExitCode']}")
    if state.get("Error"):
        said.append(str(state["Error"])[:200])
    return "; ".join(said)


def engine_time(text: str) -> int:
    """Read the engine's time, which has up to nine decimals."""
    whole, dot, rest = text.partition(".")
    if not dot:
        return parse_rfc3339(text.replace("Z", "+00:00"))
    digits = "".join(each for each in rest[:9] if each.isdigit())
    zone = "+00:00" if rest.endswith("Z") else rest.lstrip("0123456789")
    return parse_rfc3339(f"{whole}.{digits[:3].ljust(3, '0')}{zone}")

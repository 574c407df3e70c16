"""How the contract's words read at Hetzner: labels, the order's body, states, the project's mark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from decent_cloud.drivers.contract import (
    LABEL_ATTEMPT,
    LABEL_CONTRACT,
    LABEL_PLATFORM,
    Handle,
    InstanceSpec,
    Observation,
)
from decent_cloud.drivers.parts.label_value import label_value
from decent_cloud.kernel.clock import parse_rfc3339
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

DRIVER = "hetzner"
SSH_PORT = 22
MARK_NAME = (
    "decent-project"  # the key object that is the project's mark, and the comment of its key
)
LABEL_MARK = "dev.decent.project"
_MARK = re.compile(r"[0-9a-f]{32}")
# An order names the mark's key, whose private half nobody has: without any, Hetzner sets a root
# password of its own, lets it expire at once and mails it. The key itself stays out of the machine.
FIRST_START = {
    "allow_public_ssh_keys": False,
    "runcmd": [["sh", "-c", f"sed -i '/ {MARK_NAME}$/d' /root/.ssh/authorized_keys || :"]],
}
_STATES = {
    "initializing": Observed.CREATING,
    "starting": Observed.CREATING,
    "running": Observed.RUNNING,
    "stopping": Observed.RUNNING,
    "off": Observed.STOPPED,
    "deleting": Observed.DELETING,
}

Record = Mapping[str, Any]


def labels(platform: str, contract: str, attempt: str) -> dict[str, str]:
    """Return the labels that make a server ours; none of them is a secret."""
    return {
        LABEL_PLATFORM: label_value(platform),
        LABEL_CONTRACT: label_value(contract),
        LABEL_ATTEMPT: label_value(attempt),
    }


def selector(platform: str, contract: str = "") -> str:
    """Return the label selector of all servers of a platform, or of a contract's."""
    ours = f"{LABEL_PLATFORM}=={label_value(platform)}"
    return f"{ours},{LABEL_CONTRACT}=={label_value(contract)}" if contract else ours


def is_ours(server: Record, platform: str, contract: str) -> bool:
    """Tell whether a server carries this platform's and contract's labels."""
    own = server.get("labels") or {}
    wanted = (label_value(platform), label_value(contract))
    return (own.get(LABEL_PLATFORM), own.get(LABEL_CONTRACT)) == wanted


def mark_of(key: Record) -> str:
    """Return the project's mark that an SSH key object carries, empty if it is not one of ours."""
    mark = str((key.get("labels") or {}).get(LABEL_MARK, ""))
    return mark if _MARK.fullmatch(mark) else ""


def create_body(
    spec: InstanceSpec, *, server_type: str, image: str, location: str, user_data: str, ipv6: bool
) -> dict[str, Any]:
    """Return the order's body; only `user_data` holds secrets."""
    return {
        "name": spec.name,
        "server_type": server_type,
        "image": image,
        "location": location,
        "labels": labels(spec.platform, spec.contract, spec.attempt),
        "user_data": user_data,
        "ssh_keys": [MARK_NAME],
        "start_after_create": True,
        "public_net": {"enable_ipv4": True, "enable_ipv6": ipv6},
    }


def handle(server: Record) -> Handle:
    """Return the handle of a server: its id alone. Older agents kept its name beside it."""
    return Handle(DRIVER, {"id": str(server["id"])})


def observe(server: Record, scope: str) -> Observation:
    """Read one server. Running needs an address too; one that is off while an action runs is coming up."""
    own = server.get("labels") or {}
    status = str(server["status"])
    state = _STATES.get(status, Observed.UNKNOWN)
    address = _address(server)
    detail = "" if status in {"running", "off"} else status
    if status == "running" and not address:
        state, detail = Observed.CREATING, "has no public address yet"
    if status == "off" and server.get("locked"):
        state, detail = Observed.CREATING, "an action is running"
    return Observation(
        contract=ContractId(own.get(LABEL_CONTRACT, "")),
        state=state,
        scope=scope,
        handle=handle(server),
        host=address,
        port=SSH_PORT,
        attempt=own.get(LABEL_ATTEMPT, ""),
        created_at_ms=parse_rfc3339(str(server["created"])),
        detail=detail,
    )


def absent(contract: ContractId, scope: str, known: Handle) -> Observation:
    """Say that the project has no such server."""
    return Observation(contract, Observed.ABSENT, scope, known)


def month_start_ms(now_ms: int) -> int:
    """Return when Hetzner began to count this month's traffic."""
    now = datetime.fromtimestamp(now_ms / 1_000, tz=UTC)
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()) * 1_000


def _address(server: Record) -> str:
    public = server.get("public_net") or {}
    return str((public.get("ipv4") or {}).get("ip") or "")

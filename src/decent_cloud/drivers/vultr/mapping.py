"""How the contract's words read at Vultr: label and tags, the order's body, states, the account's fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from decent_cloud.drivers.contract import Handle, InstanceSpec, Observation
from decent_cloud.drivers.parts.cloud_init import encoded
from decent_cloud.drivers.parts.label_value import label_value
from decent_cloud.kernel.clock import parse_rfc3339
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

DRIVER = "vultr"
SSH_PORT = 22
USER_DATA_LIMIT_BYTES = 64 * 1024
_PLATFORM, _CONTRACT, _ATTEMPT = "decent-platform", "decent-contract", "decent-attempt"
_NO_ADDRESS = {"", "0.0.0.0"}  # noqa: S104 - what Vultr shows until there is one

Record = Mapping[str, Any]


def platform_tag(platform: str) -> str:
    """Return the tag of everything that a platform made."""
    return f"{_PLATFORM}-{label_value(platform)}"


def contract_tag(contract: str) -> str:
    """Return the tag of a contract's machine."""
    return f"{_CONTRACT}-{label_value(contract)}"


def is_ours(instance: Record, platform: str, contract: str = "") -> bool:
    """Tell whether an instance carries this platform's tag, and this contract's."""
    own = instance.get("tags") or ()
    return platform_tag(platform) in own and (not contract or contract_tag(contract) in own)


def create_body(
    spec: InstanceSpec, *, plan: str, os_id: int, region: str, user_data: str, ipv6: bool
) -> dict[str, Any]:
    """Return the order's body; only `user_data` holds secrets, and base64 hides none."""
    return {
        "region": region,
        "plan": plan,
        "os_id": os_id,
        "label": spec.name,
        "hostname": spec.hostname,
        "tags": [
            platform_tag(spec.platform),
            contract_tag(spec.contract),
            f"{_ATTEMPT}-{label_value(spec.attempt)}",
        ],
        "user_data": encoded(user_data),
        "enable_ipv6": ipv6,
        "backups": "disabled",
        "activation_email": False,
    }


def handle(instance: Record) -> Handle:
    """Return the handle of an instance: its id alone, since labels may be changed."""
    return Handle(DRIVER, {"id": str(instance["id"])})


def observe(instance: Record, scope: str) -> Observation:
    """Read one instance; running needs all three of Vultr's states and a public address."""
    state, detail = _state(instance)
    address = str(instance.get("main_ip") or "")
    return Observation(
        contract=ContractId(_value(instance, _CONTRACT)),
        state=state,
        scope=scope,
        handle=handle(instance),
        host="" if address in _NO_ADDRESS else address,
        port=SSH_PORT,
        attempt=_value(instance, _ATTEMPT),
        created_at_ms=parse_rfc3339(str(instance["date_created"])),
        detail=detail,
    )


def oldest_first(instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return instances in the order they were made."""
    return sorted(
        instances, key=lambda each: (parse_rfc3339(str(each["date_created"])), each["id"])
    )


def absent(contract: ContractId, scope: str, known: Handle) -> Observation:
    """Say that the account has no such instance."""
    return Observation(contract, Observed.ABSENT, scope, known)


def fingerprint(account: Record) -> str:
    """Return what stays the same for an account: a digest of the login's mail address.

    Vultr shows no account id; name, balance and rights change, and the address is nobody's business.
    """
    digest = hashlib.sha256(str(account["email"]).strip().lower().encode()).hexdigest()
    return f"{DRIVER}:{digest[:32]}"


def is_on(instance: Record) -> bool:
    """Tell whether the power is on."""
    return bool(instance["power_status"] == "running")


def is_busy(instance: Record) -> bool:
    """Tell whether Vultr is at work on it, so that it takes no orders."""
    return bool(instance["status"] == "pending" or instance["server_status"] == "locked")


def _state(instance: Record) -> tuple[Observed, str]:
    status, server = str(instance["status"]), str(instance["server_status"])
    if status == "suspended":
        return Observed.STOPPED, "suspended by Vultr"
    if status == "pending":
        return Observed.CREATING, "pending"
    if status != "active":
        return Observed.UNKNOWN, status
    if not is_on(instance):
        # While it is installed the power goes off and on.
        coming = server in {"none", "installingbooting"}
        return (Observed.CREATING, server) if coming else (Observed.STOPPED, "")
    if server != "ok":
        return Observed.CREATING, server
    if str(instance.get("main_ip") or "") in _NO_ADDRESS:
        return Observed.CREATING, "has no public address yet"
    return Observed.RUNNING, ""


def _value(instance: Record, key: str) -> str:
    own = (str(each) for each in instance.get("tags") or ())
    values = (each.removeprefix(f"{key}-") for each in own if each.startswith(f"{key}-"))
    return next(values, "")

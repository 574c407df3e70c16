"""How the contract's words read at DigitalOcean: tags, the order's body, states, the account's fingerprint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from decent_cloud.drivers.contract import Handle, InstanceSpec, Observation
from decent_cloud.drivers.parts.label_value import label_value
from decent_cloud.kernel.clock import parse_rfc3339
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

DRIVER = "digitalocean"
SSH_PORT = 22
_PLATFORM, _CONTRACT, _ATTEMPT = "decent-platform", "decent-contract", "decent-attempt"
KEY_NAME = "decent-account"  # of the account's key object, and the comment of its key
# An order names that key, whose private half nobody has: without any, DigitalOcean sets a root password
# that must be changed at once, and mails it. The key itself stays out of the machine.
FIRST_START: Mapping[str, object] = {
    "allow_public_ssh_keys": False,
    "runcmd": [f"sed -i '/ {KEY_NAME}$/d' /root/.ssh/authorized_keys || :"],
}
# Tags keep the case they were first written in, by whomever, and take no dots.
_TAG = re.compile(r"[a-z0-9_-]+")
_STATES = {
    "new": Observed.CREATING,
    "active": Observed.RUNNING,
    "off": Observed.STOPPED,
    "archive": Observed.STOPPED,
}

Record = Mapping[str, Any]


def platform_tag(platform: str) -> str:
    """Return the tag of everything that a platform made."""
    return _tag(_PLATFORM, platform)


def contract_tag(contract: str) -> str:
    """Return the tag of a contract's machine."""
    return _tag(_CONTRACT, contract)


def is_ours(droplet: Record, platform: str, contract: str = "") -> bool:
    """Tell whether a droplet carries this platform's tag, and this contract's."""
    own = tags_of(droplet)
    return platform_tag(platform) in own and (not contract or contract_tag(contract) in own)


def tags_of(droplet: Record) -> tuple[str, ...]:
    """Return a droplet's tags in lower case; none where the token may not see them."""
    return tuple(str(each).lower() for each in droplet.get("tags") or ())


def create_body(
    spec: InstanceSpec, *, size: str, image: str, region: str, key: int, user_data: str, ipv6: bool
) -> dict[str, Any]:
    """Return the order's body; only `user_data` holds secrets."""
    return {
        "name": spec.name,
        "region": region,
        "size": size,
        "image": int(image) if image.isdigit() else image,
        "tags": [
            platform_tag(spec.platform),
            contract_tag(spec.contract),
            _tag(_ATTEMPT, spec.attempt),
        ],
        "ssh_keys": [key],
        "user_data": user_data,
        "ipv6": ipv6,
        "backups": False,
        "monitoring": False,
        "with_droplet_agent": False,
    }


def handle(droplet: Record) -> Handle:
    """Return the handle of a droplet: its id alone, since names may be changed."""
    return Handle(DRIVER, {"id": str(droplet["id"])})


def observe(droplet: Record, scope: str) -> Observation:
    """Read one droplet; running needs a public address too."""
    status = str(droplet["status"])
    state = _STATES.get(status, Observed.UNKNOWN)
    address = _address(droplet)
    detail = "" if status in {"active", "off"} else status
    if state is Observed.RUNNING and not address:
        state, detail = Observed.CREATING, "has no public address yet"
    return Observation(
        contract=ContractId(_value(droplet, _CONTRACT)),
        state=state,
        scope=scope,
        handle=handle(droplet),
        host=address,
        port=SSH_PORT,
        attempt=_value(droplet, _ATTEMPT),
        created_at_ms=parse_rfc3339(str(droplet["created_at"])),
        detail=detail,
    )


def oldest_first(droplets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return droplets in the order they were made."""
    return sorted(droplets, key=lambda each: (str(each["created_at"]), int(each["id"])))


def absent(contract: ContractId, scope: str, known: Handle) -> Observation:
    """Say that the account has no such droplet."""
    return Observation(contract, Observed.ABSENT, scope, known)


def fingerprint(account: Record) -> str:
    """Return what stays the same for an account: its team's uuid, which owns the machines, or its own."""
    team = account.get("team") or {}
    return f"{DRIVER}:{team.get('uuid') or account['uuid']}"


def _tag(key: str, text: str) -> str:
    plain = label_value(text)
    return f"{key}:{plain if _TAG.fullmatch(plain) else label_value(text, longest=0)}"


def _value(droplet: Record, key: str) -> str:
    values = (
        each.removeprefix(f"{key}:") for each in tags_of(droplet) if each.startswith(f"{key}:")
    )
    return next(values, "")


def _address(droplet: Record) -> str:
    for each in (droplet.get("networks") or {}).get("v4") or ():
        if each.get("type") == "public":
            return str(each.get("ip_address") or "")
    return ""

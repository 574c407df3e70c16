"""Lists of SSH keys that a tenant's device signs for a contract's machine."""

from __future__ import annotations

import base64
from typing import Any

from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.key_lists import KeyList, sign_key_list
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.ssh_keys import SshPublicKey
from tests.support.people import Person


def ssh_line(number: int) -> str:
    """Return the line of a well-formed public key that nobody has; a higher number sorts later."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def key_list(tenant: Person, digest: str, n: int, *lines: str) -> KeyList:
    keys = tuple(SshPublicKey.parse(line) for line in sorted(lines))
    return KeyList(tenant.id, Digest(digest), tenant.chain.pin, keys, n)


def list_body(
    tenant: Person, digest: str, n: int, *lines: str, by: DeviceKeys | None = None
) -> dict[str, Any]:
    """Return the body that asks for these keys and no others."""
    signed = sign_key_list(key_list(tenant, digest, n, *lines), by or tenant.keys)
    return {"statement": signed.to_json()}

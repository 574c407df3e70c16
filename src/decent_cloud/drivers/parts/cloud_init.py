"""The user data that makes a vendor's cloud image the tenant's machine at its first start."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.encoders import encode_7or8bit, encode_base64
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from typing import Any

from decent_cloud.drivers.contract import InstanceSpec, Rejected
from decent_cloud.drivers.parts.host_key import openssh_private
from decent_cloud.drivers.parts.password_hash import hash_password

HETZNER_LIMIT_BYTES = 32 * 1024
DIGITALOCEAN_LIMIT_BYTES = 64 * 1024
MANAGEMENT_COMMENT = "decent-management"  # so that a tenant sees which key it is
# Read before what the image brings: the first value of an sshd option counts.
SSHD_FILE = "/etc/ssh/sshd_config.d/00-decent.conf"
_SSHD_OPTIONS = "PasswordAuthentication yes\nPermitRootLogin yes\n"
_CONFIG_TYPE, _SCRIPT_TYPE = "cloud-config", "x-shellscript"
# What the offering adds is appended; what the platform set stays.
_MERGE = "dict(recurse_list,no_replace)+list(append)+str()"


def user_data(
    spec: InstanceSpec, *, limit_bytes: int, extra: Mapping[str, object] | None = None
) -> str:
    """Write the user data of one machine: plain cloud-config, or MIME parts with the offering's.

    It sets host key, user, the tenant's keys, the management key beside them and the password as a
    hash; `extra` is what one vendor's images need beside. The offering's part starts with `#!` (a
    script) or `#cloud-config`. The result holds secrets: the host's private key and the hash. Never
    put it into a label, a log or an error.
    Raises Rejected for an offering's part of another kind and where it all is more than the vendor takes.
    """
    ours = "#cloud-config\n" + json.dumps({**cloud_config(spec), **(extra or {})}, indent=1)
    theirs = spec.user_data.lstrip()
    text = _both(ours, theirs) if theirs else ours
    size = len(text.encode())
    if size > limit_bytes:
        raise Rejected(
            f"the machine's first-start data has {size} bytes and the vendor takes {limit_bytes}; "
            "use fewer or shorter SSH keys, or a shorter post-provision part",
            size_bytes=size,
            limit_bytes=limit_bytes,
        )
    return text


def encoded(text: str) -> str:
    """Return user data in base64, for vendors that want it so."""
    return base64.b64encode(text.encode()).decode()


def cloud_config(spec: InstanceSpec) -> dict[str, Any]:
    """Return the cloud-config as a mapping (JSON is YAML); it holds secrets."""
    keys = [key.line() for key in spec.ssh_keys]
    if spec.management_key is not None:
        keys.append(f"{spec.management_key.line()} {MANAGEMENT_COMMENT}")
    return {
        "hostname": spec.hostname,
        "users": [_login(spec.user, keys)],
        "disable_root": spec.user != "root",
        "ssh_pwauth": True,
        "chpasswd": {
            "expire": False,
            "users": [
                {
                    "name": spec.user,
                    "password": hash_password(spec.password.reveal()),
                    "type": "hash",
                }
            ],
        },
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": openssh_private(spec.host_key).decode(),
            "ed25519_public": spec.host_key.public,
        },
        "write_files": [
            {"path": SSHD_FILE, "permissions": "0644", "content": _SSHD_OPTIONS},
        ],
    }


def _login(user: str, keys: list[str]) -> dict[str, Any]:
    login: dict[str, Any] = {"name": user, "lock_passwd": False, "ssh_authorized_keys": keys}
    if user == "root":
        return login
    rights = {"shell": "/bin/bash", "groups": "sudo", "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    return {**login, **rights}


def _both(ours: str, theirs: str) -> str:
    parts = MIMEMultipart()
    parts.attach(_part(ours, _CONFIG_TYPE))
    if theirs.startswith("#!"):
        parts.attach(_part(theirs, _SCRIPT_TYPE))
    elif theirs.startswith("#cloud-config"):
        more = _part(theirs, _CONFIG_TYPE)
        more["Merge-Type"] = _MERGE
        parts.attach(more)
    else:
        raise Rejected(
            "the offering's post-provision part is neither a script (#!) nor #cloud-config"
        )
    return parts.as_string()


def _part(text: str, kind: str) -> MIMEBase:
    part = MIMEBase("text", kind, charset="utf-8")
    part.set_payload(text.encode())
    if text.isascii():
        encode_7or8bit(part)
    else:  # cloud-init reads 8-bit parts as Latin-1
        encode_base64(part)
    return part

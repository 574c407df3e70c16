"""User data sets up the tenant's machine and nothing else, and keeps the vendors' limits."""

from __future__ import annotations

import email
import json
import secrets
from email.message import Message
from typing import Any

import pytest

from decent_cloud.drivers.contract import HostKey, InstanceSpec, Rejected, Secret, SshKey
from decent_cloud.drivers.parts.cloud_init import encoded, user_data
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.kernel.ids import ContractId

TENANT = SshKey.parse(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFqUUlyyUJy4UElTeP4S5W5qiGVrcN2KMQTP8AYPHfS"
)
MANAGEMENT = SshKey.parse(make_host_key(bytes(range(32))).public)
LIMIT = 32 * 1024


def spec(**changes: Any) -> InstanceSpec:
    host_key: HostKey = make_host_key(secrets.token_bytes(SEED_BYTES))
    fields: dict[str, Any] = {
        "platform": "p",
        "contract": ContractId("c1"),
        "attempt": "a1",
        "name": "dc-c1",
        "image": "debian-12",
        "cpu_milli": 1_000,
        "memory_mib": 1_024,
        "disk_gib": 10,
        "ssh_keys": (TENANT,),
        "host_key": host_key,
        "password": Secret("correct horse"),
    }
    return InstanceSpec(**{**fields, **changes})


def config(text: str) -> dict[str, Any]:
    assert text.startswith("#cloud-config\n")
    read: dict[str, Any] = json.loads(text.partition("\n")[2])
    return read


def parts(text: str) -> list[Message]:
    found = [each for each in email.message_from_string(text).walk() if not each.is_multipart()]
    assert len(found) == 2
    return found


def test_root_gets_key_password_hash_and_host_key() -> None:
    made = spec()
    read = config(user_data(made, limit_bytes=LIMIT))
    assert read["users"] == [
        {"name": "root", "lock_passwd": False, "ssh_authorized_keys": [TENANT.line()]}
    ]
    (password,) = read["chpasswd"]["users"]
    salt = password["password"].split("$")[2]
    assert password["name"] == "root"
    assert password["password"] == hash_password("correct horse", salt)
    assert read["ssh_keys"]["ed25519_public"] == made.host_key.public
    assert "OPENSSH PRIVATE KEY" in read["ssh_keys"]["ed25519_private"]
    assert read["disable_root"] is False


def test_the_password_itself_is_not_in_it() -> None:
    assert "correct horse" not in user_data(spec(), limit_bytes=LIMIT)


def test_another_user_may_become_root_and_takes_the_management_key_too() -> None:
    read = config(user_data(spec(user="ada", management_key=MANAGEMENT), limit_bytes=LIMIT))
    (ada,) = read["users"]
    assert ada["name"] == read["chpasswd"]["users"][0]["name"] == "ada"
    assert ada["ssh_authorized_keys"] == [TENANT.line(), f"{MANAGEMENT.line()} decent-management"]
    assert "NOPASSWD" in ada["sudo"]
    assert read["disable_root"] is True


def test_a_script_comes_as_a_second_part() -> None:
    text = user_data(spec(user_data="#!/bin/sh\ntouch /grüße\n"), limit_bytes=LIMIT)
    first, second = parts(text)
    assert first.get_content_type() == "text/cloud-config"
    assert second.get_content_type() == "text/x-shellscript"
    assert second.get_payload(decode=True) == "#!/bin/sh\ntouch /grüße\n".encode()
    assert text.isascii()
    config(str(first.get_payload()))


def test_more_cloud_config_is_merged_and_never_replaces_ours() -> None:
    text = user_data(spec(user_data="#cloud-config\npackages: [vim]\n"), limit_bytes=LIMIT)
    _, second = parts(text)
    assert "no_replace" in second["Merge-Type"]


def test_what_the_vendor_would_not_take_is_rejected() -> None:
    with pytest.raises(Rejected, match="32768"):
        user_data(spec(user_data="#!/bin/sh\n" + "#" * LIMIT), limit_bytes=LIMIT)
    with pytest.raises(Rejected):
        user_data(spec(user_data="echo hello"), limit_bytes=LIMIT)


def test_vendors_that_want_base64_get_it() -> None:
    assert encoded("#cloud-config\n{}") == "I2Nsb3VkLWNvbmZpZwp7fQ=="

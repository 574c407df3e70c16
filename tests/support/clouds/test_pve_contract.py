"""The judge of Proxmox exchanges finds what its schema forbids, and permissions read as it means them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clouds.pve_contract import PREFIX, denied, pve_contract

CLONE = f"{PREFIX}/nodes/pve1/qemu/9000/clone"
CONFIG = f"{PREFIX}/nodes/pve1/qemu/100/config"


@pytest.mark.parametrize("major", [8, 9])
@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", CLONE, {"newid": "101", "name": "dc-1", "full": "1"}, ""),
        ("POST", CLONE, {"newid": "101", "nmae": "dc-1"}, "unknown parameter 'nmae'"),
        ("POST", CLONE, {"name": "dc-1"}, "'newid' is required"),
        ("POST", CLONE, {"newid": "ten"}, "no integer"),
        ("POST", CLONE, {"newid": "101", "full": "maybe"}, "no boolean"),
        ("POST", CLONE, {"newid": "101", "name": "dc_1"}, "does not match"),
        ("POST", f"{CLONE}d", {}, "no such method"),
        ("PUT", CONFIG, {"net0": "virtio=02:DC:00:00:00:01,bridge=vmbr0"}, ""),
        ("PUT", CONFIG, {"net0": "virtio=02:DC:00:00:00:01,brigde=vmbr0"}, "unknown key 'brigde'"),
        ("PUT", CONFIG, {"ide2": "local:iso/a.iso,media=floppy"}, "none of"),
        ("PUT", CONFIG, {"ide2": "media=cdrom"}, "'file' is missing"),
        ("PUT", CONFIG, {"net99x": "virtio"}, "unknown parameter"),
        ("PUT", CONFIG, {"cores": "0"}, "minimum"),
        ("PUT", CONFIG, {"tags": "a;b c;-"}, "does not match"),
        ("PUT", CONFIG, {"sshkeys": "ssh-ed25519 AAAA"}, "does not match"),
        ("PUT", CONFIG, {"sshkeys": "ssh-ed25519%20AAAA%0A"}, ""),
    ],
)
def test_requests_are_judged_by_every_parameter(
    major: int, method: str, path: str, body: dict[str, str], words: str
) -> None:
    found = pve_contract(major).of_request(method, path, {}, body)
    assert words in " ".join(found) if words else not found


@pytest.mark.parametrize(
    ("body", "good"),
    [
        ({"data": {"status": "running", "vmid": 1, "ha": {}}}, True),
        ({"data": {"status": "on", "vmid": 1, "ha": {}}}, False),
        ({"data": {"status": "running", "vmid": "1", "ha": {}}}, False),
        ({"data": {"status": "running", "vmid": 1, "ha": {}, "colour": 1}}, False),
        ({"data": {"status": "running"}}, False),
        ({"status": "running"}, False),
    ],
)
def test_answers_are_judged_too(body: Any, good: bool) -> None:
    path = f"{PREFIX}/nodes/pve1/qemu/1/status/current"
    assert (pve_contract(9).of_answer("GET", path, 200, body) == []) == good


def test_permissions_of_the_schema_read_as_it_means_them() -> None:
    info, _ = pve_contract(9).find("POST", CLONE)
    assert info is not None
    check = info["permissions"]["check"]
    values = {"vmid": "9000", "newid": "101"}
    have: set[tuple[str, str]] = set()

    def missing() -> str:
        return denied(check, values, lambda path, privilege: (path, privilege) in have)

    assert missing() == "/vms/9000, VM.Clone"
    have.add(("/vms/9000", "VM.Clone"))
    assert missing() == "/vms/101, VM.Allocate"
    have.add(("/pool/tenants", "VM.Allocate"))
    assert missing() != ""
    values["pool"] = "tenants"
    assert missing() == ""

"""The commands that undo a vendor's password do it, in a real shell with programs that write down what they got."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import cast

from decent_cloud.drivers.conformance.specs import new_host_key
from decent_cloud.drivers.contract import InstanceSpec, Secret
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.drivers.parts.vendor_password import own_password_last
from decent_cloud.kernel.ids import ContractId


def spec(**changes: object) -> InstanceSpec:
    fields: dict[str, object] = {
        "platform": "test",
        "contract": ContractId("c0"),
        "attempt": "first",
        "name": "dc-c0",
        "image": "debian-12",
        "cpu_milli": 1_000,
        "memory_mib": 1_024,
        "disk_gib": 10,
        "ssh_keys": (),
        "host_key": new_host_key(),
        "password": Secret("a'b\"c$(id)`id`"),
        **changes,
    }
    return InstanceSpec(**fields)  # type: ignore[arg-type]


def run(folder: Path, wanted: InstanceSpec) -> list[str]:
    """Run the commands as cloud-init does, one script; return what each program was called with."""
    for name in ("chpasswd", "chage", "passwd"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/log\n')
        program.chmod(0o755)
    feeding = folder / "chpasswd"
    feeding.write_text(feeding.read_text() + f"cat >> {folder}/log\n")
    script = "\n".join(cast("list[str]", own_password_last(wanted)["runcmd"]))
    path = {"PATH": f"{folder}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-ec", script], check=True, timeout=10, env=path)
    return (folder / "log").read_text().splitlines()


def test_the_tenants_password_is_set_last_and_need_not_be_changed(tmp_path: Path) -> None:
    wanted = spec()
    first, pair, aged = run(tmp_path, wanted)
    assert first == "chpasswd -e"
    user, hashed = pair.split(":")
    salt = hashed.split("$")[2]
    assert (user, hashed) == ("root", hash_password(wanted.password.reveal(), salt))
    assert aged.startswith("chage -d 20")
    assert aged.endswith(" root")


def test_root_is_locked_where_the_tenant_is_somebody_else(tmp_path: Path) -> None:
    lines = run(tmp_path, spec(user="tenant"))
    assert lines[1].startswith("tenant:$6$")
    assert lines[-1] == "passwd -l root"

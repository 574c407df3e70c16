"""The script driver keeps the kit with real virtual machines behind it: kernel, boot, SSH, in software."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from decent_cloud.domain.keys.access import Access
from decent_cloud.drivers.conformance.rig import Power, Rig
from decent_cloud.drivers.conformance.specs import new_spec, removed, running
from decent_cloud.drivers.conformance.verbs import VerbSuite
from decent_cloud.drivers.contract import NoCapacity, Observation, SshKey
from decent_cloud.drivers.script.driver import ScriptDriver
from devtools.ssh import run_over_ssh
from tests.support import tiny_vm
from tests.support.qemu_cloud import IMAGE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(tiny_vm.missing()), reason=tiny_vm.missing() or "nothing is missing"),
]
ROOT = Path(__file__).parents[2]
CLOUD = "tests.support.qemu_cloud"
_ports = itertools.count(27_000 + secrets.randbelow(3_000))


class QemuRig(Rig):
    platform = "platform"
    image = IMAGE
    memory_mib = 128
    powers = frozenset(Power) - {Power.PASSWORD}
    poll_s = 0.5

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vms"
        self.folder.mkdir()
        self._initrd = tiny_vm.initial_disk()
        starter = folder / "qemu-cloud"
        starter.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}:{ROOT}/src" exec "{sys.executable}" -Pm {CLOUD}\n'
        )
        starter.chmod(0o755)
        self._command = [str(starter)]

    def driver(self, platform: str = "") -> ScriptDriver:
        config = {"folder": str(self.folder), "kernel": str(tiny_vm.KERNEL)}
        settings = {
            "command": self._command,
            "config": {**config, "initrd": str(self._initrd)},
            "timeout_s": 60,
        }
        return ScriptDriver.from_settings(settings, platform or self.platform)

    def next_port(self) -> int:
        for port in _ports:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port
        raise AssertionError

    def count(self, contract: str) -> int:
        return len(list(self.folder.glob(f"dc-{contract}*")))

    def add_foreign(self, name: str) -> None:
        (self.folder / name).mkdir()
        (self.folder / name / "foreign").touch()

    def has_foreign(self, name: str) -> bool:
        return (self.folder / name / "foreign").exists()

    def vanish(self, contract: str) -> None:
        folder = self.folder / f"dc-{contract}"
        os.kill(int((folder / "pid").read_text()), 9)
        shutil.rmtree(folder)

    def seen_host_key(self, seen: Observation) -> str:
        command = ["ssh-keyscan", "-T", "10", "-t", "ed25519", "-p", str(seen.port), seen.host]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        found = [each for each in done.stdout.splitlines() if not each.startswith("#")]
        return found[0].split(" ", 1)[1] if found else ""

    def clear(self) -> None:
        for name in (self.platform, f"{self.platform}-other"):
            driver = self.driver(name)
            for each in driver.list_owned():
                removed(self, driver, each)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[QemuRig]:
    made = QemuRig(tmp_path)
    try:
        yield made
    finally:
        made.clear()


class TestScriptDriverOnQemu(VerbSuite):
    """Runs the verbs of the kit."""


def test_the_tenants_key_and_the_password_open_the_machine(rig: QemuRig) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = key.export_public_key().decode().strip()
    spec = replace(new_spec(rig), ssh_keys=(SshKey.parse(line),))
    begin = time.monotonic()
    seen = running(rig, rig.driver(), spec)
    door = Access(seen.host, seen.port, "root", (spec.host_key.public,), spec.password.reveal())
    said = run_over_ssh(door, "hostname; uname -s", key.export_private_key(), timeout_s=60)
    assert said.split() == [spec.name, "Linux"]
    assert run_over_ssh(door, "id -u", timeout_s=60).strip() == "0"
    assert time.monotonic() - begin < 60
    kept = b"".join(each.read_bytes() for each in (rig.folder / spec.name).iterdir())
    assert spec.password.reveal().encode() not in kept


def test_a_taken_port_is_no_capacity_and_leaves_nothing(rig: QemuRig) -> None:
    spec = new_spec(rig)
    with socket.create_server(("127.0.0.1", spec.ssh_port)), pytest.raises(NoCapacity):
        rig.driver().create(spec)
    assert rig.count(spec.contract) == 0

"""A tenant logs in to a Docker machine by pinned host key, by key and by password, and limits hold."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from decent_cloud.drivers.conformance.specs import handle_of, new_spec
from decent_cloud.drivers.contract import InstanceSpec, SshKey
from decent_cloud.kernel.status import Observed
from devtools.engine import Engine
from tests.drivers.docker_rig import SDK_LEAKS, DockerRig, docker_rig

pytestmark = [pytest.mark.docker, *SDK_LEAKS]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A machine and the files that a careful tenant logs in with."""

    rig: DockerRig
    spec: InstanceSpec
    folder: Path

    def options(self, port_flag: str) -> list[str]:
        return [
            *("-F", "/dev/null", "-i", f"{self.folder}/id", port_flag, str(self.spec.ssh_port)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"),
            *("-o", f"UserKnownHostsFile={self.folder}/known"),
        ]

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        line = ["ssh", *self.options("-p"), "root@127.0.0.1", command]
        return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def tenant(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    folder = tmp_path_factory.mktemp("tenant")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/id"]
    subprocess.run(command, check=True)
    with docker_rig(docker_engine.url) as rig:
        key = SshKey.parse((folder / "id.pub").read_text())
        spec = new_spec(rig, ssh_keys=(key,), memory_mib=64)
        made = rig.driver(max_pids=40).create(spec)
        (folder / "known").write_text(f"[127.0.0.1]:{spec.ssh_port} {spec.host_key.public}\n")
        assert rig.seen_host_key(made) == spec.host_key.public
        yield Tenant(rig, spec, folder)


def test_key_login_with_the_pinned_host_key_gives_root_a_sane_shell(tenant: Tenant) -> None:
    done = tenant.ssh("id -u; uname -s; pwd; echo $HOME; . /etc/profile; echo $PATH; hostname")
    assert done.returncode == 0, done.stderr
    uid, kernel, here, home, path, host = done.stdout.splitlines()
    assert (uid, kernel, here, home) == ("0", "Linux", "/root", "/root")
    assert "/usr/bin" in path
    assert host == tenant.spec.name


def test_exit_codes_and_a_terminal_come_through(tenant: Tenant) -> None:
    assert tenant.ssh("exit 7").returncode == 7
    line = ["ssh", "-tt", *tenant.options("-p"), "root@127.0.0.1", "tty"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("/dev/pts/")


def test_a_wrong_host_key_is_refused_by_the_client(tenant: Tenant) -> None:
    known = tenant.folder / "known"
    right = known.read_text()
    known.write_text(right.split(" ssh-")[0] + f" {tenant.spec.ssh_keys[0].line()}\n")
    try:
        done = tenant.ssh("true")
    finally:
        known.write_text(right)
    assert done.returncode == 255


def test_another_key_is_refused(tenant: Tenant, tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{tmp_path}/id"]
    subprocess.run(command, check=True)
    (tmp_path / "known").write_text((tenant.folder / "known").read_text())
    other = Tenant(tenant.rig, tenant.spec, tmp_path)
    assert "Permission denied" in other.ssh("true").stderr


async def login(spec: InstanceSpec, password: str) -> str:
    pinned = asyncssh.import_known_hosts(f"[127.0.0.1]:{spec.ssh_port} {spec.host_key.public}")
    async with asyncssh.connect(
        "127.0.0.1",
        spec.ssh_port,
        username="root",
        password=password,
        known_hosts=pinned,
        client_keys=[],
        agent_path=None,
        config=None,
    ) as connection:
        return str((await connection.run("id -un", check=True)).stdout)


def test_the_password_logs_in_and_a_wrong_one_does_not(tenant: Tenant) -> None:
    assert asyncio.run(login(tenant.spec, tenant.spec.password.reveal())) == "root\n"
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(login(tenant.spec, "wrong"))


def test_files_go_both_ways_by_scp_and_sftp(tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(bytes(range(256)) * 4_000)
    for number, program in enumerate(("scp", "sftp")):
        there, back = f"root@127.0.0.1:/root/file{number}", tmp_path / f"back{number}"
        options = tenant.options("-P")
        if program == "scp":
            subprocess.run([program, *options, f"{tmp_path}/up", there], check=True, timeout=60)
        else:
            batch = tmp_path / "batch"
            batch.write_text(f"put {tmp_path}/up /root/file{number}\n")
            line = [program, *options, "-b", str(batch), "root@127.0.0.1"]
            subprocess.run(line, check=True, capture_output=True, timeout=60)
        subprocess.run(["scp", *options, there, str(back)], check=True, timeout=60)
        assert back.read_bytes() == (tmp_path / "up").read_bytes()


def test_a_memory_hog_is_killed_and_the_machine_goes_on(tenant: Tenant) -> None:
    hog = tenant.ssh("dd if=/dev/zero of=/dev/null bs=128M count=1")
    assert hog.returncode != 0
    assert tenant.ssh("echo still here").stdout == "still here\n"
    (seen,) = tenant.rig.driver().list_owned()
    assert (
        tenant.rig.driver().inspect(handle_of(seen), tenant.spec.contract).state is Observed.RUNNING
    )


def test_a_fork_bomb_stops_at_the_limit(tenant: Tenant) -> None:
    bomb = tenant.ssh("i=0; while [ $i -lt 99 ]; do sleep 3 & i=$((i+1)); done; echo all")
    assert "all" not in bomb.stdout
    assert "fork" in bomb.stderr
    tenant.rig.inside(tenant.spec, "killall sleep")
    assert tenant.ssh("echo still here").stdout == "still here\n"


def test_no_capability_to_touch_network_devices_or_mounts(tenant: Tenant) -> None:
    for command in (
        "ip link set eth0 down",
        "mount -t tmpfs x /mnt",
        "mknod /x c 1 3",
        "date -s 0",
    ):
        assert tenant.ssh(command).returncode != 0, command

"""The sandbox driver keeps the kit on real processes, and leaves nothing behind however it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_contract,
    new_spec,
    removed,
    settled,
)
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    Broken,
    DriverError,
    FirstRun,
    InstanceSpec,
    Limit,
    NoCapacity,
    Rejected,
    RunState,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.sandbox.driver import SandboxDriver
from decent_cloud.drivers.sandbox.settings import read_settings
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.isolation import TRUSTED_ONLY
from decent_cloud.kernel.status import Observed, ScriptKind, ScriptOutcome
from tests.drivers.sandbox_rig import SandboxRig, processes_of, sandbox_rig

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture
def rig() -> Iterator[SandboxRig]:
    with sandbox_rig() as made:
        yield made


class TestSandboxDriver(ConformanceSuite):
    """Runs the kit."""


@pytest.fixture
def tenant(rig: SandboxRig, tmp_path: Path) -> Tenant:
    """A running machine and the files that a careful tenant logs in with."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{tmp_path}/id"]
    subprocess.run(command, check=True)
    key = SshKey.parse((tmp_path / "id.pub").read_text())
    spec = new_spec(rig, ssh_keys=(key,), memory_mib=64)
    rig.driver(max_pids=40).create(spec)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{spec.ssh_port} {spec.host_key.public}\n")
    return Tenant(spec, tmp_path)


@dataclass(frozen=True, slots=True)
class Tenant:
    spec: InstanceSpec
    folder: Path

    def options(self, port_flag: str) -> list[str]:
        return [
            *("-F", "/dev/null", "-i", f"{self.folder}/id", port_flag, str(self.spec.ssh_port)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"),
            *("-o", f"UserKnownHostsFile={self.folder}/known"),
        ]

    def ssh(self, *command: str, tty: bool = False) -> subprocess.CompletedProcess[str]:
        line = ["ssh", *(("-tt",) if tty else ()), *self.options("-p"), "root@127.0.0.1", *command]
        return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)


def test_a_tenant_has_commands_a_terminal_and_files(tenant: Tenant) -> None:
    said = tenant.ssh("id -u; pwd; echo $HOME; hostname; echo aside >&2; exit 7")
    assert said.stdout.splitlines() == ["0", "/root", "/root", tenant.spec.name]
    assert (said.stderr, said.returncode) == ("aside\n", 7)
    assert tenant.ssh("tty; stty size", tty=True).stdout.startswith("/dev/pts/")
    assert tenant.ssh("kill -9 $$").returncode == 255  # as OpenSSH's client says of a signal
    (tenant.folder / "up").write_bytes(bytes(range(256)) * 4_000)
    there, back = "root@127.0.0.1:file", tenant.folder / "back"
    subprocess.run(
        ["scp", *tenant.options("-P"), f"{tenant.folder}/up", there], check=True, timeout=60
    )
    subprocess.run(["scp", "-O", *tenant.options("-P"), there, str(back)], check=True, timeout=60)
    assert back.read_bytes() == (tenant.folder / "up").read_bytes()
    (tenant.folder / "batch").write_text(f"rename file moved\nget moved {tenant.folder}/again\n")
    batch = ["sftp", *tenant.options("-P"), "-b", f"{tenant.folder}/batch", "root@127.0.0.1"]
    subprocess.run(batch, check=True, capture_output=True, timeout=60)
    assert (tenant.folder / "again").read_bytes() == back.read_bytes()


def test_limits_hold_for_each_machine_and_it_goes_on(tenant: Tenant) -> None:
    bomb = tenant.ssh("sh -c 'i=0; while [ $i -lt 99 ]; do sleep 2 & i=$((i+1)); done; echo all'")
    assert "all" not in bomb.stdout
    hog = tenant.ssh("head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null; echo $?")
    assert hog.stdout.strip() != "0"
    fill = tenant.ssh("head -c 200000000 /dev/zero >/tmp/fill; echo $?")
    assert fill.stdout.strip() != "0"
    time.sleep(2)
    assert tenant.ssh("echo still here").stdout == "still here\n"


def test_one_machines_processes_do_not_keep_another_from_starting(
    rig: SandboxRig, tenant: Tenant
) -> None:
    tenant.ssh("sh -c 'i=0; while [ $i -lt 99 ]; do sleep 5 & i=$((i+1)); done'")
    other = new_spec(rig)
    assert rig.driver(max_pids=40).create(other).state is Observed.RUNNING
    assert rig.inside(other, "echo here") == "here"


@pytest.mark.parametrize(
    "forbidden",
    [
        "touch /usr/x",
        "touch /x",
        "touch /dev/x",
        "touch /etc/x",
        "touch /run/access/shadow",
        "mount -t tmpfs x /tmp",
        "unshare -U true",
        "chown 1:1 /root",
        "cat /run/access/../../etc/shadow",
        "cat /proc/2/environ",
    ],
)
def test_a_tenant_gets_neither_out_nor_on(tenant: Tenant, forbidden: str) -> None:
    assert tenant.ssh(forbidden).returncode != 0


def test_a_machine_sees_neither_host_nor_neighbour(rig: SandboxRig, tenant: Tenant) -> None:
    other = new_spec(rig)
    rig.driver().create(other)
    assert tenant.ssh(f"ls {rig.folder} /home /work /var/lib 2>/dev/null").stdout == ""
    reach = f"exec 3<>/dev/tcp/127.0.0.1/{other.ssh_port}"
    assert tenant.ssh("bash", "-c", f"'{reach}'").returncode != 0
    secrets = [tenant.spec.host_key.seed_hex.reveal(), tenant.spec.password.reveal(), "OPENSSH"]
    said = tenant.ssh("cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'").stdout
    for pid in processes_of(tenant.spec.name):
        said += Path(f"/proc/{pid}/cmdline").read_text()
        said += Path(f"/proc/{pid}/environ").read_text()
    assert not [each for each in secrets if each in said]


def test_home_port_and_host_key_outlive_a_stop_and_a_killed_server(
    rig: SandboxRig, tenant: Tenant
) -> None:
    driver, contract = rig.driver(), tenant.spec.contract
    (made,) = driver.list_owned()
    tenant.ssh("echo mine >kept")
    driver.stop(handle_of(made), contract)
    driver.start(handle_of(made), contract)
    assert tenant.ssh("cat kept").stdout == "mine\n"
    tenant.ssh("kill -9 2")
    assert settled(rig, driver, made, Observed.STOPPED).state is Observed.STOPPED
    assert driver.start(handle_of(made), contract).port == made.port
    assert tenant.ssh("cat kept").stdout == "mine\n"


def test_keys_changed_inside_hold_at_the_next_login(tenant: Tenant) -> None:
    tenant.ssh("echo >.ssh/authorized_keys")
    assert "Permission denied" in tenant.ssh("true").stderr


def test_the_offerings_script_runs_once(rig: SandboxRig) -> None:
    spec = new_spec(rig, user_data="#!/bin/sh\necho ran >>counted; echo said\n")
    made = rig.driver().create(spec)
    wait = "until [ -s .first-boot.log ]; do sleep .05; done; cat counted .first-boot.log"
    assert rig.inside(spec, wait).split() == ["ran", "said"]
    rig.driver().stop(handle_of(made), spec.contract)
    rig.driver().start(handle_of(made), spec.contract)
    assert rig.inside(spec, "sleep .2; cat counted") == "ran"


def test_a_first_script_runs_once_and_its_end_is_told(rig: SandboxRig) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    script = FirstRun(
        ScriptKind.SCRIPT, "#!/bin/sh\necho ran >>counted\necho canary-5e0d\nexit 3\n", 60
    )

    def state() -> RunState:
        deadline = time.monotonic() + 60
        while True:
            found = rig.driver().run_first(handle_of(made), spec.contract, script)
            if found.outcome is not None:
                return found
            assert time.monotonic() < deadline

    first = state()
    assert (first.outcome, first.exit_code) == (ScriptOutcome.EXITED, 3)
    assert first.output == b"canary-5e0d\n"
    rig.driver().stop(handle_of(made), spec.contract)
    with pytest.raises(TryLater):
        rig.driver().run_first(handle_of(made), spec.contract, script)
    rig.driver().start(handle_of(made), spec.contract)
    assert state() == first
    assert rig.inside(spec, "cat counted") == "ran"


def test_what_a_tenant_puts_in_place_of_the_answer_is_not_followed(rig: SandboxRig) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    rig.inside(
        spec, "mkdir .first-script.told .first-script.new; ln -s /etc/hostname .first-script"
    )
    with pytest.raises((Broken, TryLater)):
        rig.driver().run_first(
            handle_of(made), spec.contract, FirstRun(ScriptKind.SCRIPT, "#!/bin/sh\n", 60)
        )


def test_cloud_init_and_other_users_are_rejected(rig: SandboxRig) -> None:
    for wrong in ({"user_data": "#cloud-config\n"}, {"user": "ubuntu"}, {"ssh_port": 0}):
        with pytest.raises(Rejected):
            rig.driver().create(new_spec(rig, **wrong))


def test_a_taken_port_is_no_capacity_and_leaves_nothing(rig: SandboxRig) -> None:
    spec = new_spec(rig)
    with socket.create_server(("127.0.0.1", spec.ssh_port)):
        with pytest.raises(NoCapacity) as refusal:
            rig.driver().create(spec)
        assert refusal.value.details["port"] == spec.ssh_port
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)
    assert rig.driver().create(spec).state is Observed.RUNNING


def test_as_root_each_machine_has_a_host_user_of_its_own(rig: SandboxRig) -> None:
    if os.geteuid():
        pytest.skip("not root")
    specs = [new_spec(rig), new_spec(rig)]
    for each in specs:
        rig.driver().create(each)
    users = {rig.machine(each.contract).home.stat().st_uid for each in specs}
    assert len(users) == 2
    assert all(each >= 210_000 for each in users)
    owners = {
        Path(f"/proc/{pid}/status").read_text().split("\nUid:\t")[1].split("\t")[0]
        for each in specs
        for pid in processes_of(each.name)
    }
    assert owners == {str(each) for each in users}


CREATE = ["create:port", "create:folder", "create:spawned"]
PROGRAM = """
import os, signal, sys
from decent_cloud.drivers.sandbox.driver import SandboxDriver
from decent_cloud.drivers.sandbox.settings import read_settings
from tests.drivers.sandbox_rig import SandboxRig
from decent_cloud.drivers.conformance.specs import new_spec, handle_of
from decent_cloud.kernel.ids import ContractId
folder, platform, contract, port, verb, step = sys.argv[1:]
def on_step(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)
driver = SandboxDriver(read_settings({"folder": folder}), platform, on_step=on_step)
class Here(SandboxRig):
    def __init__(self): self.platform = platform
    def next_port(self): return int(port)
if verb == "create":
    driver.create(new_spec(Here(), ContractId(contract)))
else:
    (seen,) = driver.list_owned()
    getattr(driver, verb)(handle_of(seen), seen.contract)
sys.exit("was not killed")
"""


def killed(rig: SandboxRig, contract: str, port: int, verb: str, step: str) -> None:
    """Run one verb in a program that is killed with SIGKILL after a step."""
    words = [str(rig.folder), rig.platform, contract, str(port), verb, step]
    line = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(line, check=False, cwd=Path(__file__).parents[2], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("step", CREATE)
@pytest.mark.parametrize("attempt", ["first", "second"])
def test_killed_at_any_step_of_create_it_ends_in_one_machine(
    rig: SandboxRig, step: str, attempt: str
) -> None:
    contract, port = new_contract(), rig.next_port()
    killed(rig, contract, port, "create", step)
    alive = [each for each in rig.driver().list_owned() if each.state is Observed.RUNNING]
    assert bool(alive) is (step == "create:spawned")
    made = rig.driver().create(new_spec(rig, contract, attempt=attempt, ssh_port=port))
    assert made.attempt == (attempt if step == "create:port" else "first")
    assert (made.state, rig.count(contract), len(rig.machines_alive())) == (Observed.RUNNING, 1, 1)
    assert rig.seen_host_key(made).startswith("ssh-ed25519 ")
    removed(rig, rig.driver(), made)
    assert (rig.count(contract), rig.pieces(contract)) == (0, 0)


@pytest.mark.parametrize("step", ["destroy:asked", "destroy:ended", "destroy:removed"])
def test_killed_at_any_step_of_destroy_it_ends_in_nothing(rig: SandboxRig, step: str) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    killed(rig, spec.contract, spec.ssh_port, "destroy", step)
    assert removed(rig, rig.driver(), made).state is Observed.ABSENT
    assert rig.driver().list_owned() == ()
    assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)


def test_what_was_half_made_or_half_removed_is_swept(rig: SandboxRig) -> None:
    rig.driver().scope()
    for each in ("making", "going"):
        left = rig.folder / each / "dc-gone.00112233" / "home"
        left.mkdir(parents=True)
        (left / "file").write_text("x")
        left.chmod(0)
    assert rig.driver().list_owned() == ()
    assert not list(rig.folder.rglob("*dc-gone*"))


def test_a_session_goes_on_while_the_one_who_started_the_machine_ends(rig: SandboxRig) -> None:
    contract, port = new_contract(), rig.next_port()
    killed(rig, contract, port, "create", "create:spawned")
    (seen,) = rig.driver().list_owned()
    assert rig.seen_host_key(seen)
    for pid in outer_of(processes_of(f"dc-{contract}")):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert rig.driver().inspect(handle_of(seen), contract).state is Observed.RUNNING
    assert rig.seen_host_key(seen)
    assert removed(rig, rig.driver(), seen).state is Observed.ABSENT


def outer_of(pids: list[int]) -> list[int]:
    """Return those that are in our own namespace of processes: bubblewrap outside the machine."""
    here = os.readlink("/proc/self/ns/pid")
    return [pid for pid in pids if os.readlink(f"/proc/{pid}/ns/pid") == here]


def test_another_store_has_another_scope(rig: SandboxRig) -> None:
    first = rig.driver().scope()
    (rig.folder / "mark").unlink()
    assert rig.driver().scope() != first


def test_a_folder_without_rights_is_said_with_its_reason() -> None:
    driver = SandboxDriver.from_settings({"folder": "/proc/nowhere"}, "platform")
    with pytest.raises(DriverError):
        driver.list_owned()
    probe = driver.probe()
    assert not probe.passed
    assert probe.checks[0].cure


def test_the_probe_looks_around_inside_once_and_leaves_nothing(rig: SandboxRig) -> None:
    probe = rig.driver().probe()
    assert probe.passed, probe.checks
    assert probe.limits == {Limit.PIDS}
    assert "per process" in probe.checks[-1].detail
    assert rig.driver().probe() is probe
    assert list((rig.folder / "machines").iterdir()) == []


def test_it_says_for_whom_it_is(rig: SandboxRig) -> None:
    assert TRUSTED_ONLY in rig.driver().describe().isolation
    rig.driver().create(new_spec(rig))
    (seen,) = rig.driver().list_owned()
    assert "memory limit: per process" in seen.detail


@pytest.mark.parametrize(
    "wrong",
    [{"folder": "relative"}, {"first_port": 9_000, "last_port": 8_000}, {"images": []}, {"x": 1},
     {"bind": "localhost"}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        read_settings(wrong)

"""The Docker driver keeps the suite on a real engine, whatever is cut off, taken, gone or hung."""

from __future__ import annotations

import gc
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from decent_cloud.drivers.conformance.specs import handle_of, new_contract, new_plan, new_spec
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    Handle,
    Limit,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.docker import network
from decent_cloud.drivers.docker.api import Engine as EngineApi
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.kernel.clock import HOUR_MS, SystemClock
from decent_cloud.kernel.status import Observed
from devtools.engine import Engine
from tests.drivers.docker_rig import SDK_LEAKS, DockerRig, docker_rig
from tests.support.docker_engine import require_own

pytestmark = [pytest.mark.docker, *SDK_LEAKS]


@pytest.fixture(autouse=True)
def _leaks_end_here() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def rig(docker_engine: Engine) -> Iterator[DockerRig]:
    with docker_rig(docker_engine.url) as made:
        yield made


class Later(SystemClock):
    """An hour from now."""

    def now_ms(self) -> int:
        return super().now_ms() + HOUR_MS


class TestDockerDriver(ConformanceSuite):
    """Runs the kit."""


def test_the_probe_runs_machines_and_finds_what_holds(rig: DockerRig) -> None:
    probe = rig.driver().probe()
    assert probe.passed, probe.checks
    assert probe.limits >= {Limit.CPU, Limit.MEMORY, Limit.PIDS}
    assert probe.scope == rig.driver().scope()
    assert {"engine", "walls", "machine", "isolation", "limits"} <= {c.name for c in probe.checks}
    begin = time.monotonic()
    assert rig.driver().probe() is probe
    assert time.monotonic() - begin < 1
    assert rig.driver().list_owned() == ()


def test_a_plan_that_no_machine_of_this_host_can_be_is_found_before_it_is_rented(
    rig: DockerRig,
) -> None:
    driver = rig.driver(images={"tiny": "built-in:tiny", "gone": "not-here:1"})
    plan = new_plan(rig, image="gone", cpu_milli=9_999_000, settings={"user": "admin"})
    failed = {each.name: each.cure for each in driver.check_plan(plan) if not each.passed}
    assert set(failed) == {"image", "cpu", "user"}
    assert failed["image"] == "docker pull not-here:1"
    assert failed["cpu"].startswith("offer ")
    assert driver.list_owned() == ()


def test_an_image_off_the_list_is_rejected(rig: DockerRig) -> None:
    with pytest.raises(Rejected, match="allowed: tiny"):
        rig.driver().create(new_spec(rig, image="debian"))


def test_an_allowed_image_that_is_not_there_leaves_nothing_behind(rig: DockerRig) -> None:
    spec = new_spec(rig, image="other")
    driver = rig.driver(images={"other": "not-here:1"})
    with pytest.raises(Broken, match="not on the engine"):
        driver.create(spec)
    assert (rig.count(spec.contract), rig.networks(spec.contract)) == (0, 0)
    assert not driver.probe().passed


def test_a_taken_port_is_no_capacity_and_leaves_nothing_behind(rig: DockerRig) -> None:
    first = new_spec(rig)
    rig.driver().create(first)
    second = new_spec(rig, ssh_port=first.ssh_port)
    with pytest.raises(NoCapacity) as refusal:
        rig.driver().create(second)
    assert refusal.value.details["port"] == first.ssh_port
    assert (rig.count(second.contract), rig.networks(second.contract)) == (0, 0)
    moved = new_spec(rig, second.contract)
    assert rig.driver().create(moved).port == moved.ssh_port


def test_a_port_taken_by_another_program_is_no_capacity(rig: DockerRig) -> None:
    spec = new_spec(rig)
    with socket.create_server(("127.0.0.1", spec.ssh_port)):
        with pytest.raises(NoCapacity) as refusal:
            rig.driver().create(spec)
        assert refusal.value.details["port"] == spec.ssh_port
    assert rig.driver().create(spec).state is Observed.RUNNING


def test_a_machine_without_its_secrets_is_finished_by_the_same_attempt(rig: DockerRig) -> None:
    spec = new_spec(rig)
    rig.proxy.drop_request("/archive?")
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    assert (rig.driver().list_owned(), rig.count(spec.contract)) == ((), 1)
    with pytest.raises(TryLater, match="create it again"):
        rig.driver().start(Handle("docker", {"name": spec.name}), spec.contract)
    made = rig.driver().create(spec)
    assert rig.seen_host_key(made) == spec.host_key.public


def test_a_machine_without_its_secrets_is_made_anew_by_another_attempt(rig: DockerRig) -> None:
    first = new_spec(rig)
    rig.proxy.drop_request("/archive?")
    with pytest.raises(TryLater):
        rig.driver().create(first)
    second = new_spec(rig, first.contract, attempt="second")
    made = rig.driver().create(second)
    assert (made.attempt, rig.count(first.contract)) == ("second", 1)
    assert rig.seen_host_key(made) == second.host_key.public


def test_a_machine_that_never_got_its_secrets_is_swept_when_nobody_comes_back(
    rig: DockerRig,
) -> None:
    spec = new_spec(rig)
    rig.proxy.drop_request("/archive?")
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    rig.driver().list_owned()
    assert rig.count(spec.contract) == 1
    later = DockerDriver(rig.driver()._settings, rig.platform, Later())
    assert later.list_owned() == ()
    later.close()
    assert rig.count(spec.contract) == 0


def test_a_complete_machine_that_never_started_shows_as_stopped_and_starts(rig: DockerRig) -> None:
    spec = new_spec(rig)
    rig.proxy.drop_request("/start")
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    (seen,) = rig.driver().list_owned(spec.contract)
    assert (seen.state, seen.attempt) == (Observed.STOPPED, "first")
    started = rig.driver().start(handle_of(seen), spec.contract)
    assert started.state is Observed.RUNNING
    assert rig.seen_host_key(started) == spec.host_key.public


def test_a_complete_machine_that_never_started_is_started_with_its_own_secrets(
    rig: DockerRig,
) -> None:
    first = new_spec(rig)
    rig.proxy.drop_request("/start")
    with pytest.raises(TryLater):
        rig.driver().create(first)
    made = rig.driver().create(new_spec(rig, first.contract, attempt="second"))
    assert (made.attempt, made.port, rig.count(first.contract)) == ("first", first.ssh_port, 1)
    assert rig.seen_host_key(made) == first.host_key.public


@pytest.mark.parametrize("lost", ["/networks/create", "/archive?", "/start"])
def test_any_lost_answer_ends_in_one_machine(rig: DockerRig, lost: str) -> None:
    spec = new_spec(rig)
    rig.proxy.lose_answer_to(lost)
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    made = rig.driver().create(spec)
    assert (rig.count(spec.contract), rig.networks(spec.contract)) == (1, 1)
    assert rig.seen_host_key(made) == spec.host_key.public


@pytest.mark.parametrize("lost", ["DELETE /v1.41/containers", "DELETE /v1.41/networks"])
def test_a_lost_answer_to_a_removal_ends_in_nothing(rig: DockerRig, lost: str) -> None:
    spec = new_spec(rig)
    handle = handle_of(rig.driver().create(spec))
    rig.proxy.lose_answer_to(lost.replace("v1.41", f"v{rig.client._version}"))
    with pytest.raises(TryLater):
        rig.driver().destroy(handle, spec.contract)
    assert rig.driver().destroy(handle, spec.contract).state is Observed.ABSENT
    assert (rig.count(spec.contract), rig.networks(spec.contract)) == (0, 0)


def test_two_programs_with_other_attempts_at_once_get_one_machine(rig: DockerRig) -> None:
    contract = new_contract()
    specs = [new_spec(rig, contract, attempt=name) for name in ("first", "second")]
    drivers = [rig.driver(timeout_s=20), rig.driver(timeout_s=20)]
    with ThreadPoolExecutor(2) as threads:
        tries = [threads.submit(d.create, s) for d, s in zip(drivers, specs, strict=True)]
        made = [each.result() for each in tries if each.exception() is None]
    assert all(isinstance(each.exception(), TryLater | None) for each in tries)
    assert {each.attempt for each in made} == {rig.driver().create(specs[0]).attempt}
    assert rig.count(contract) == 1


def test_secrets_are_neither_in_the_engines_records_nor_in_its_logs(rig: DockerRig) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    assert rig.seen_host_key(made)
    said = json.dumps(rig.record(spec)) + rig.client.logs(spec.name).decode()
    said += rig.inside(spec, "tr '\\0' '\\n' </proc/1/environ; tr '\\0' ' ' </proc/1/cmdline")
    for secret in (spec.password.reveal(), spec.host_key.seed_hex.reveal(), "$6$"):
        assert secret not in said


def test_the_host_config_is_the_narrow_one(rig: DockerRig) -> None:
    spec = new_spec(rig)
    rig.driver().create(spec)
    host = rig.record(spec)["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert not {"NET_RAW", "MKNOD", "SYS_ADMIN", "AUDIT_WRITE"} & set(host["CapAdd"])
    assert (host["Memory"], host["MemorySwap"]) == (96 << 20, 96 << 20)
    assert (host["NanoCpus"], host["PidsLimit"]) == (500_000_000, 512)
    assert host["LogConfig"]["Config"]["max-size"] == "1m"
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert not host["Privileged"]
    assert not host["Binds"]


def test_an_absent_machine_of_another_store_has_another_scope(rig: DockerRig) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    rig.driver().destroy(handle_of(made), spec.contract)
    rig.client.remove_volume("decent-anchor")  # what an engine with an empty store looks like
    assert rig.driver().inspect(handle_of(made), spec.contract).scope != made.scope


def test_a_network_left_without_a_machine_is_swept_when_old(rig: DockerRig) -> None:
    spec = new_spec(rig)
    kept = new_spec(rig)
    rig.driver().create(kept)
    rig.proxy.drop_request("/containers/create")
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    rig.driver().list_owned()
    assert rig.networks(spec.contract) == 1
    later = DockerDriver(rig.driver()._settings, rig.platform, Later())
    later.list_owned()
    later.close()
    assert (rig.networks(spec.contract), rig.networks(kept.contract)) == (0, 1)


def test_an_engine_that_is_not_there_is_try_later_and_a_failed_check() -> None:
    driver = DockerDriver.from_settings({"engine": "unix:///nonexistent/docker.sock"}, "platform")
    with pytest.raises(TryLater):
        driver.list_owned()
    probe = driver.probe()
    assert not probe.passed
    assert probe.checks[0].cure


def test_a_hung_engine_is_try_later_within_the_timeout(
    rig: DockerRig, docker_engine: Engine
) -> None:
    engine = require_own(docker_engine)
    driver = rig.driver(timeout_s=1)
    handle = handle_of(driver.create(spec := new_spec(rig)))
    engine.hang()
    try:
        for act in (driver.list_owned, lambda: driver.inspect(handle, spec.contract)):
            begin = time.monotonic()
            with pytest.raises(TryLater):
                act()
            assert time.monotonic() - begin < 3
    finally:
        engine.resume()
    assert driver.inspect(handle, spec.contract).state is Observed.RUNNING


def test_machines_outlive_a_restart_of_the_engine(rig: DockerRig, docker_engine: Engine) -> None:
    engine = require_own(docker_engine)
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    engine.stop()
    with pytest.raises(TryLater):
        rig.driver().inspect(handle_of(made), spec.contract)
    engine.start()
    read = rig.driver().inspect(handle_of(made), spec.contract)
    assert (read.state, read.scope) == (Observed.RUNNING, made.scope)
    assert rig.seen_host_key(read) == spec.host_key.public


@pytest.mark.slow
def test_forty_networks_at_once_get_subnets_of_their_own(rig: DockerRig) -> None:
    engine = EngineApi(rig.proxy.url, 60)
    contracts = [new_contract() for _ in range(40)]

    def make(contract: str) -> None:
        network.ensure_network(engine, f"dc-{contract}", rig.platform, contract, "10.202.0.0/22")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, contracts))
        made = [rig.client.inspect_network(f"dc-{each}") for each in contracts]
        ranges = {each["IPAM"]["Config"][0]["Subnet"] for each in made}
        gone = threads.map(
            lambda each: network.remove_network(engine, f"dc-{each}", rig.platform, each), contracts
        )
        assert all(gone)
    engine.close()
    assert len(ranges) == 40


def test_a_full_range_is_no_capacity(rig: DockerRig) -> None:
    engine = EngineApi(rig.proxy.url, 30)
    first, second = new_contract(), new_contract()
    network.ensure_network(engine, f"dc-{first}", rig.platform, first, "10.202.4.0/29")
    with pytest.raises(NoCapacity, match="larger range"):
        network.ensure_network(engine, f"dc-{second}", rig.platform, second, "10.202.4.0/29")
    assert network.remove_network(engine, f"dc-{first}", rig.platform, first)
    engine.close()


def test_a_user_that_is_not_root_is_rejected(rig: DockerRig) -> None:
    with pytest.raises(Rejected, match="root"):
        rig.driver().create(new_spec(rig, user="ubuntu"))


def test_without_a_right_to_the_socket_the_message_says_so(rig: DockerRig) -> None:
    error = EngineApi("unix:///run/x.sock", 1)._from_transport(
        PermissionError(13, "Permission denied")
    )
    assert isinstance(error, AuthFailed)
    assert "group" in error.message

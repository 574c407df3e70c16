"""The traffic of a Docker machine: all of it, over stops, restarts and the agent's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from decent_cloud.domain.keys.access import Access
from decent_cloud.drivers.conformance.specs import handle_of, new_spec
from decent_cloud.drivers.contract import Broken, InstanceSpec, Traffic, TryLater
from decent_cloud.drivers.docker import mapping, traffic
from decent_cloud.kernel.status import Observed
from devtools.engine import Engine
from devtools.processes import until
from devtools.ssh import run_over_ssh
from tests.drivers.docker_rig import SDK_LEAKS, DockerRig, docker_rig
from tests.support.docker_engine import require_own

DEVICES = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0     200       1    0    0    0     0       0          0
dcx0123456789ab: 9000000000000 2 0 0 0 0 0 0 7 2 0 0 0 0 0 0
"""
SENT_BYTES = 300_000


@pytest.fixture
def rig(docker_engine: Engine) -> Iterator[DockerRig]:
    with docker_rig(docker_engine.url) as made:
        yield made


@pytest.mark.docker
class TestOnAnEngine:
    pytestmark = SDK_LEAKS

    def test_what_goes_out_and_in_is_counted_over_stops(self, rig: DockerRig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        handle = handle_of(driver.create(spec))
        before = driver.meter(handle, spec.contract)
        assert before.since_ms > 0
        _download(rig, spec)
        until("it is counted", lambda: _sent(rig, spec) >= before.sent_bytes + SENT_BYTES, 20)
        driver.stop(handle, spec.contract)
        stopped = driver.meter(handle, spec.contract)
        assert stopped.sent_bytes >= before.sent_bytes + SENT_BYTES
        assert stopped.received_bytes > before.received_bytes
        assert stopped.since_ms == before.since_ms

        driver.start(handle, spec.contract)
        _download(rig, spec)
        after = stopped.sent_bytes + SENT_BYTES
        until("both are counted", lambda: _sent(rig, spec) >= after, 20)
        again = rig.driver(timeout_s=20).meter(handle, spec.contract)
        assert (again.sent_bytes >= after, again.since_ms) == (True, before.since_ms)

    def test_the_count_outlives_a_restart_of_the_engine(
        self, rig: DockerRig, docker_engine: Engine
    ) -> None:
        engine = require_own(docker_engine)
        spec = new_spec(rig)
        handle = handle_of(rig.driver().create(spec))
        _download(rig, spec)
        before = rig.driver().meter(handle, spec.contract)
        assert before.sent_bytes >= SENT_BYTES
        engine.stop()
        with pytest.raises(TryLater):
            rig.driver().meter(handle, spec.contract)
        engine.start()
        after = rig.driver().meter(handle, spec.contract)
        assert after.since_ms == before.since_ms
        assert after.sent_bytes >= before.sent_bytes

    def test_an_engine_of_another_host_counts_for_itself(self, rig: DockerRig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        handle = handle_of(driver.create(spec))
        _download(rig, spec)

        def seen() -> Traffic:
            return traffic.read(driver._engine, rig.record(spec), "no such platform", spec.contract)

        until("it is counted", lambda: seen().sent_bytes >= SENT_BYTES, 20)
        assert seen().since_ms == seen().since_ms > 0
        driver.stop(handle, spec.contract)
        assert driver.inspect(handle, spec.contract).state is Observed.STOPPED
        with pytest.raises(TryLater, match="stands still"):
            seen()


def test_the_kernels_table_is_read_by_name() -> None:
    assert traffic.counters(DEVICES, "dcx0123456789ab") == (9_000_000_000_000, 7)
    assert traffic.counters(DEVICES, "lo") == (100, 200)
    assert traffic.counters(DEVICES, "dcx") is None


def test_the_hosts_start_is_read_or_missed() -> None:
    assert traffic.boot_ms("cpu 1 2\nbtime 1700000000\nprocesses 1\n") == 1_700_000_000_000
    with pytest.raises(Broken):
        traffic.boot_ms("cpu 1 2\n")


def _sent(rig: DockerRig, spec: InstanceSpec) -> int:
    return rig.driver().meter(mapping.handle(spec.name), spec.contract).sent_bytes


def _download(rig: DockerRig, spec: InstanceSpec) -> None:
    """Log in as the tenant and fetch so many bytes."""
    seen = rig.driver().inspect(mapping.handle(spec.name), spec.contract)
    assert rig.seen_host_key(seen) == spec.host_key.public
    keys = (spec.host_key.public,)
    access = Access(seen.host, seen.port, spec.user, keys, password=spec.password.reveal())
    said = run_over_ssh(access, f"head -c {SENT_BYTES} /dev/zero | tr '\\0' x", timeout_s=30)
    assert said == "x" * SENT_BYTES

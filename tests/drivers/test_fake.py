"""The fake driver keeps the suite, and fails and waits exactly as it is told."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from decent_cloud.drivers import registry
from decent_cloud.drivers.conformance.rig import Act, Power, Rig, every
from decent_cloud.drivers.conformance.rig import Fault as Mishap
from decent_cloud.drivers.conformance.specs import handle_of, new_spec
from decent_cloud.drivers.conformance.suite import ConformanceSuite
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    Observation,
    Rejected,
    Secret,
    TryLater,
)
from decent_cloud.drivers.fake.backend import FakeBackend
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.status import Observed
from tests.support.kept import kept_in

PLATFORM = "platform"


_FAULTS = {
    Mishap.LOST: Fault.ANSWER_LOST,
    Mishap.UNAVAILABLE: Fault.TRY_LATER,
    Mishap.DENIED: Fault.AUTH_FAILED,
    Mishap.GARBLED: Fault.BROKEN,
    Mishap.SOLD_OUT: Fault.NO_CAPACITY,
}
_READS = (Mishap.UNAVAILABLE, Mishap.DENIED, Mishap.GARBLED)
_VERBS = {Act.LIST: Verb.LIST, Act.RESET: Verb.RESET}
SLOW_MS = 100


class FakeRig(Rig):
    platform = PLATFORM
    image = "any"
    powers = frozenset(Power) - {Power.IMAGE_LIST}
    faults = (
        every((Act.CREATE,), (*_FAULTS, Mishap.SLOW))
        | every((Act.INSPECT, Act.LIST), _READS)
        | every((Act.DESTROY,), (Mishap.LOST, Mishap.UNAVAILABLE, Mishap.DENIED, Mishap.SLOW))
        | every((Act.STOP, Act.RESET), (Mishap.LOST, Mishap.UNAVAILABLE))
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        self.backend = FakeBackend(path)
        self._ports = itertools.count(20_000)

    def driver(self, platform: str = "") -> FakeDriver:
        return FakeDriver.from_settings({"path": str(self.path)}, platform or self.platform)

    def next_port(self) -> int:
        return next(self._ports)

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.05))

    def count(self, contract: str) -> int:
        return len(self.backend.machines(contract))

    def inject(self, act: Act, fault: Mishap) -> None:
        if fault is not Mishap.SLOW:
            self.backend.fail_next(_VERBS.get(act) or Verb(act.value), _FAULTS[fault])
        elif act is Act.CREATE:
            self.backend.change(boot_ms=SLOW_MS)
        else:
            self.backend.change(gone_ms=SLOW_MS)

    def add_foreign(self, name: str) -> None:
        self.backend.add_foreign(name)

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        handle = handle_of(seen)
        return user == "root" and self.backend.takes_password(
            int(handle.data["id"]), password.reveal()
        )

    def has_foreign(self, name: str) -> bool:
        return any(each.name == name and not each.platform for each in self.backend.machines())

    def vanish(self, contract: str) -> None:
        self.backend.vanish(self.backend.machines(contract)[0].id)

    def seen_host_key(self, seen: Observation) -> str:
        return self.backend.host_key_at(seen.host, seen.port) or ""


@pytest.fixture
def rig(tmp_path: Path) -> FakeRig:
    return FakeRig(tmp_path / "cloud.db")


class TestFakeDriver(ConformanceSuite):
    """Runs the kit."""


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.REJECTED, Rejected),
        (Fault.NO_CAPACITY, NoCapacity),
        (Fault.AUTH_FAILED, AuthFailed),
        (Fault.TRY_LATER, TryLater),
        (Fault.BROKEN, Broken),
    ],
)
def test_each_fault_shows_as_its_error_and_writes_nothing(
    rig: FakeRig, fault: Fault, error: type[DriverError]
) -> None:
    rig.backend.fail_next(Verb.CREATE, fault, times=2)
    spec = new_spec(rig)
    for _ in range(2):
        with pytest.raises(error):
            rig.driver().create(spec)
    assert rig.count(spec.contract) == 0
    assert rig.driver().create(spec).state is Observed.RUNNING
    assert len(rig.backend.calls(Verb.CREATE, spec.contract)) == 3


def test_a_503_on_destroy_keeps_the_machine_until_the_next_try(rig: FakeRig) -> None:
    spec = new_spec(rig)
    handle = handle_of(rig.driver().create(spec))
    rig.backend.fail_next(Verb.DESTROY, Fault.TRY_LATER)
    with pytest.raises(TryLater):
        rig.driver().destroy(handle, spec.contract)
    assert rig.count(spec.contract) == 1
    assert rig.driver().destroy(handle, spec.contract).state is Observed.ABSENT


def test_slow_boot_and_slow_end_show_as_creating_and_deleting(rig: FakeRig) -> None:
    rig.backend.change(boot_ms=60_000, gone_ms=60_000)
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    assert made.state is Observed.CREATING
    assert rig.seen_host_key(made) == ""
    rig.backend.change(boot_ms=0)
    assert rig.driver().inspect(handle_of(made), spec.contract).state is Observed.RUNNING
    assert rig.driver().destroy(handle_of(made), spec.contract).state is Observed.DELETING
    assert [each.state for each in rig.driver().list_owned()] == [Observed.DELETING]
    rig.backend.change(gone_ms=0)
    assert rig.driver().list_owned() == ()


def test_lists_lag_behind_but_reads_by_handle_do_not(rig: FakeRig) -> None:
    rig.backend.change(list_lag_ms=60_000)
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    assert rig.driver().list_owned() == ()
    assert rig.driver().inspect(handle_of(made), spec.contract).state is Observed.RUNNING
    rig.backend.change(list_lag_ms=0, inspect_lag_ms=60_000)
    assert rig.driver().inspect(handle_of(made), spec.contract).state is Observed.ABSENT


def test_without_unique_names_hasty_creates_make_duplicates(rig: FakeRig) -> None:
    rig.backend.change(unique_names=False, list_lag_ms=60_000)
    spec = new_spec(rig)
    rig.backend.fail_next(Verb.CREATE, Fault.ANSWER_LOST)
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    rig.driver().create(spec)
    assert rig.count(spec.contract) == 2


def test_without_unique_names_a_patient_create_finds_the_first(rig: FakeRig) -> None:
    rig.backend.change(unique_names=False)
    spec = new_spec(rig)
    rig.backend.fail_next(Verb.CREATE, Fault.ANSWER_LOST)
    with pytest.raises(TryLater):
        rig.driver().create(spec)
    rig.driver().create(spec)
    assert rig.count(spec.contract) == 1


def test_without_unique_names_two_makers_at_once_make_two(rig: FakeRig) -> None:
    rig.backend.change(unique_names=False, before_ms={"create": 200})
    spec = new_spec(rig)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: rig.driver().create(spec), range(2)))
    assert rig.count(spec.contract) == 2


def test_a_sold_out_or_full_cloud_says_no_capacity(rig: FakeRig) -> None:
    rig.backend.change(capacity=1)
    rig.driver().create(new_spec(rig))
    with pytest.raises(NoCapacity):
        rig.driver().create(new_spec(rig))
    rig.backend.change(capacity=None, sold_out=True)
    with pytest.raises(NoCapacity):
        rig.driver().create(new_spec(rig))


def test_another_fingerprint_shows_in_every_answer(rig: FakeRig) -> None:
    spec = new_spec(rig)
    made = rig.driver().create(spec)
    rig.backend.become("another-account")
    rig.backend.vanish(rig.backend.machines()[0].id)
    read = rig.driver().inspect(handle_of(made), spec.contract)
    assert (read.state, read.scope) == (Observed.ABSENT, "another-account")
    assert made.scope != "another-account"
    assert rig.driver().probe().scope == "another-account"


def test_a_dark_machine_runs_and_answers_nobody(rig: FakeRig) -> None:
    made = rig.driver().create(new_spec(rig))
    rig.backend.change(dark=True)
    assert rig.seen_host_key(made) == ""
    rig.backend.change(dark=False, foreign_host_key="ssh-ed25519 somebody")
    assert rig.seen_host_key(made) == "ssh-ed25519 somebody"


def test_machines_without_a_reserved_port_get_addresses_of_their_own(rig: FakeRig) -> None:
    first = rig.driver().create(new_spec(rig, ssh_port=0))
    second = rig.driver().create(new_spec(rig, ssh_port=0))
    assert first.port == second.port == 22
    assert first.host != second.host


def test_a_failing_probe_is_a_check_with_a_cure(rig: FakeRig) -> None:
    rig.backend.fail_next(Verb.PROBE, Fault.AUTH_FAILED)
    probe = rig.driver().probe()
    assert not probe.passed
    assert probe.checks[0].cure
    assert rig.driver().probe().passed


def test_what_a_killed_program_made_is_still_there(rig: FakeRig) -> None:
    rig.backend.change(after_ms={"create": 60_000})
    spec = new_spec(rig)
    program = (
        "import sys; from tests.drivers.test_fake import FakeRig; from decent_cloud.drivers.conformance.specs import *;"
        "from pathlib import Path; rig = FakeRig(Path(sys.argv[1]));"
        "rig.driver().create(new_spec(rig, ContractId(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, str(rig.path), spec.contract]
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    while not rig.count(spec.contract):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    rig.backend.change(after_ms={})
    assert rig.driver().create(spec).state is Observed.RUNNING
    assert rig.count(spec.contract) == 1


def test_the_password_is_kept_as_a_hash_only(rig: FakeRig) -> None:
    spec = new_spec(rig)
    rig.driver().create(spec)
    kept = kept_in(rig.path.parent)
    assert spec.host_key.public.encode() in kept
    assert spec.password.reveal().encode() not in kept
    assert spec.host_key.seed_hex.reveal().encode() not in kept


def test_settings_write_the_script_and_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    path = str(tmp_path / "cloud.db")
    settings = {"path": path, "first_port": 2_200, "last_port": 2_300}
    made = registry.load("fake", {**settings, "script": {"capacity": 0}}, PLATFORM)
    assert made.describe().port_range == (2_200, 2_300)
    assert FakeBackend(Path(path)).script().capacity == 0
    for wrong in ({}, {"path": path, "colour": 1}, {"path": path, "script": {"speed": 1}}):
        with pytest.raises(Invalid):
            registry.load("fake", wrong, PLATFORM)

"""What every driver must do, whatever is behind it; a test class per driver gives it a `rig`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from decent_cloud.drivers.contract import (
    CanStop,
    Driver,
    Handle,
    HostKey,
    InstanceSpec,
    Observation,
    Rejected,
    Secret,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.kernel.ids import ContractId, RandomIds
from decent_cloud.kernel.status import Observed

TENANT_KEY = SshKey.parse(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFqUUlyyUJy4UElTeP4S5W5qiGVrcN2KMQTP8AYPHfS"
)


class StoppableDriver(Driver, CanStop, Protocol):
    """A driver with the optional ability."""


class Rig(Protocol):
    """What the suite needs to know about a backend beside its driver."""

    platform: str
    image: str

    def driver(self, platform: str = "") -> StoppableDriver: ...
    def next_port(self) -> int: ...
    def count(self, contract: str) -> int: ...
    def add_foreign(self, name: str) -> None: ...
    def has_foreign(self, name: str) -> bool: ...
    def lose_answer_to_create(self) -> None: ...
    def seen_host_key(self, seen: Observation) -> str: ...


def new_contract() -> ContractId:
    return ContractId(RandomIds().new("c", secrets.randbits(40)))


def new_spec(rig: Rig, contract: ContractId | None = None, **changes: object) -> InstanceSpec:
    contract = contract or new_contract()
    fields: Mapping[str, object] = {
        "platform": rig.platform,
        "contract": contract,
        "attempt": "first",
        "name": f"dc-{contract}",
        "image": rig.image,
        "cpu_milli": 500,
        "memory_mib": 96,
        "disk_gib": 1,
        "ssh_keys": (TENANT_KEY,),
        "host_key": new_host_key(),
        "password": Secret(secrets.token_urlsafe(16)),
        "ssh_port": rig.next_port(),
        **changes,
    }
    return InstanceSpec(**fields)  # type: ignore[arg-type]


def new_host_key() -> HostKey:
    return make_host_key(secrets.token_bytes(SEED_BYTES))


def handle_of(seen: Observation) -> Handle:
    assert seen.handle is not None
    return seen.handle


class DriverSuite:
    def test_a_created_machine_runs_and_shows_the_given_host_key(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        assert (made.contract, made.attempt, made.port) == (spec.contract, "first", spec.ssh_port)
        assert made.state is Observed.RUNNING
        assert rig.seen_host_key(made) == spec.host_key.public

    def test_creating_twice_gives_one_machine(self, rig: Rig) -> None:
        spec = new_spec(rig)
        first, second = rig.driver().create(spec), rig.driver().create(spec)
        assert first.handle == second.handle
        assert rig.count(spec.contract) == 1

    def test_a_lost_answer_leaves_one_machine_that_the_next_create_finds(self, rig: Rig) -> None:
        spec = new_spec(rig)
        rig.lose_answer_to_create()
        with pytest.raises(TryLater):
            rig.driver().create(spec)
        again = rig.driver().create(spec)
        assert again.state is Observed.RUNNING
        assert rig.count(spec.contract) == 1
        assert rig.seen_host_key(again) == spec.host_key.public

    def test_two_threads_at_once_get_one_machine(self, rig: Rig) -> None:
        spec = new_spec(rig)
        with ThreadPoolExecutor(2) as threads:
            tries = [threads.submit(rig.driver().create, spec) for _ in range(2)]
            handles = [handle_of(each.result()) for each in tries if each.exception() is None]
        assert handles
        assert rig.driver().create(spec).handle == handles[0]
        assert rig.count(spec.contract) == 1

    def test_a_running_machine_of_another_attempt_is_adopted_as_it_is(self, rig: Rig) -> None:
        first = new_spec(rig)
        rig.driver().create(first)
        second = new_spec(rig, first.contract, attempt="second")
        adopted = rig.driver().create(second)
        assert (adopted.attempt, adopted.port) == ("first", first.ssh_port)
        assert rig.seen_host_key(adopted) == first.host_key.public

    def test_a_foreign_thing_with_our_name_is_refused_and_left_alone(self, rig: Rig) -> None:
        spec = new_spec(rig)
        rig.add_foreign(spec.name)
        with pytest.raises(Rejected):
            rig.driver().create(spec)
        assert rig.has_foreign(spec.name)

    def test_another_platforms_machine_is_neither_listed_nor_destroyed(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        other = rig.driver(f"{rig.platform}-other")
        assert other.list_owned() == ()
        with pytest.raises(Rejected):
            other.destroy(handle_of(made), spec.contract)
        assert rig.count(spec.contract) == 1

    def test_a_handle_of_one_contract_does_not_destroy_for_another(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        with pytest.raises(Rejected):
            rig.driver().destroy(handle_of(made), new_contract())
        assert rig.count(spec.contract) == 1

    def test_destroying_twice_succeeds_and_leaves_nothing(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        for _ in range(2):
            gone = rig.driver().destroy(handle_of(made), spec.contract)
            assert (gone.state, gone.scope) == (Observed.ABSENT, made.scope)
        assert rig.count(spec.contract) == 0

    def test_a_read_after_the_end_says_absent_from_the_same_backend(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        rig.driver().destroy(handle_of(made), spec.contract)
        read = rig.driver().inspect(handle_of(made), spec.contract)
        assert (read.state, read.scope) == (Observed.ABSENT, made.scope)
        assert rig.driver().scope() == made.scope

    def test_a_driver_started_later_reads_by_the_kept_handle(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        read = rig.driver().inspect(Handle("", dict(handle_of(made).data)), spec.contract)
        assert (read.state, read.attempt) == (Observed.RUNNING, "first")
        assert (read.host, read.port, read.scope) == (made.host, made.port, made.scope)

    def test_lists_show_ours_with_port_and_attempt_stopped_ones_too(self, rig: Rig) -> None:
        running, stopped = new_spec(rig), new_spec(rig)
        driver = rig.driver()
        driver.create(running)
        driver.stop(handle_of(driver.create(stopped)), stopped.contract)
        rig.add_foreign("dc-somebody-else")
        seen = {each.contract: each for each in driver.list_owned()}
        assert set(seen) == {running.contract, stopped.contract}
        assert seen[stopped.contract].state is Observed.STOPPED
        assert seen[stopped.contract].port == stopped.ssh_port
        assert seen[running.contract].attempt == "first"
        (only,) = driver.list_owned(running.contract)
        assert only.handle == seen[running.contract].handle

    def test_stop_and_start_keep_port_and_host_key_and_may_be_repeated(self, rig: Rig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        handle = handle_of(driver.create(spec))
        for _ in range(2):
            assert driver.stop(handle, spec.contract).state is Observed.STOPPED
        starts = [driver.start(handle, spec.contract) for _ in range(2)]
        for each in starts:
            assert (each.state, each.port) == (Observed.RUNNING, spec.ssh_port)
        assert rig.seen_host_key(starts[0]) == spec.host_key.public

    def test_stop_and_start_of_what_is_gone_say_absent(self, rig: Rig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        handle = handle_of(driver.create(spec))
        driver.destroy(handle, spec.contract)
        assert driver.stop(handle, spec.contract).state is Observed.ABSENT
        assert driver.start(handle, spec.contract).state is Observed.ABSENT

    def test_secrets_show_in_no_answer(self, rig: Rig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        said = repr([driver.create(spec), driver.list_owned(), driver.describe(), spec])
        for secret in (spec.password.reveal(), spec.host_key.seed_hex.reveal()):
            assert secret not in said

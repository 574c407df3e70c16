"""The six verbs when nothing goes wrong: one machine a contract, ours only, found again, gone for good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from decent_cloud.drivers.conformance.needs import need_power
from decent_cloud.drivers.conformance.rig import Power, Rig
from decent_cloud.drivers.conformance.specs import (
    SSH_PORT,
    handle_of,
    new_contract,
    new_host_key,
    new_password,
    new_spec,
    patiently,
    removed,
    running,
    settled,
)
from decent_cloud.drivers.contract import DriverError, Rejected, TryLater
from decent_cloud.kernel.status import Observed


class VerbSuite:
    """Every driver keeps all of this."""

    def test_a_created_machine_runs_at_an_address_with_the_attempt_asked_for(
        self, rig: Rig
    ) -> None:
        spec = new_spec(rig)
        seen = running(rig, rig.driver(), spec)
        assert (seen.contract, seen.attempt) == (spec.contract, "first")
        assert seen.host
        assert seen.port == (spec.ssh_port or SSH_PORT)
        assert seen.scope == rig.driver().scope()

    def test_a_created_machine_shows_the_given_host_key(self, rig: Rig) -> None:
        need_power(rig, Power.HOST_KEY)
        spec = new_spec(rig)
        seen = running(rig, rig.driver(), spec)
        assert rig.seen_host_key(seen) == spec.host_key.public

    def test_a_created_machine_takes_the_given_password_and_no_other(self, rig: Rig) -> None:
        need_power(rig, Power.PASSWORD)
        spec = new_spec(rig)
        seen = running(rig, rig.driver(), spec)
        assert rig.takes_password(seen, spec.user, spec.password)
        assert not rig.takes_password(seen, spec.user, new_password())

    def test_creating_twice_gives_one_machine(self, rig: Rig) -> None:
        spec = new_spec(rig)
        first, second = rig.driver().create(spec), rig.driver().create(spec)
        assert first.handle == second.handle
        assert rig.count(spec.contract) == 1

    def test_creating_what_runs_gives_the_same_machine(self, rig: Rig) -> None:
        spec = new_spec(rig)
        first = running(rig, rig.driver(), spec)
        second = rig.driver().create(spec)
        assert (second.state, second.handle) == (Observed.RUNNING, first.handle)
        assert rig.count(spec.contract) == 1

    def test_two_threads_of_one_agent_get_one_machine(self, rig: Rig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        with ThreadPoolExecutor(2) as threads:
            tries = [threads.submit(driver.create, spec) for _ in range(2)]
            handles = [handle_of(each.result()) for each in tries if each.exception() is None]
        assert all(isinstance(each.exception(), TryLater | None) for each in tries)
        assert handles
        assert driver.create(spec).handle == handles[0]
        assert rig.count(spec.contract) == 1

    def test_two_agents_at_once_get_one_machine_where_names_are_unique(self, rig: Rig) -> None:
        need_power(rig, Power.UNIQUE_NAMES)
        spec = new_spec(rig)
        drivers = [rig.driver(), rig.driver()]
        with ThreadPoolExecutor(2) as threads:
            tries = [threads.submit(each.create, spec) for each in drivers]
        assert any(each.exception() is None for each in tries)
        assert rig.driver().create(spec).attempt == "first"
        assert rig.count(spec.contract) == 1

    def test_a_running_machine_of_another_attempt_is_adopted_as_it_is(self, rig: Rig) -> None:
        first = new_spec(rig)
        seen = running(rig, rig.driver(), first)
        secrets = {"host_key": new_host_key(), "password": new_password()}
        second = new_spec(rig, first.contract, attempt="second", **secrets)
        adopted = settled(rig, rig.driver(), rig.driver().create(second))
        assert (adopted.attempt, adopted.handle, adopted.port) == ("first", seen.handle, seen.port)
        assert rig.count(first.contract) == 1
        if Power.HOST_KEY in rig.powers:
            assert rig.seen_host_key(adopted) == first.host_key.public

    def test_a_foreign_thing_with_our_name_is_refused_and_left_alone(self, rig: Rig) -> None:
        need_power(rig, Power.FOREIGN)
        spec = new_spec(rig)
        rig.add_foreign(spec.name)
        with pytest.raises(Rejected):
            rig.driver().create(spec)
        assert rig.has_foreign(spec.name)

    def test_another_platforms_machine_is_neither_listed_nor_destroyed(self, rig: Rig) -> None:
        need_power(rig, Power.SECOND_PLATFORM)
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        other = rig.driver(f"{rig.platform}-other")
        assert other.list_owned() == ()
        with pytest.raises(Rejected):
            other.destroy(handle_of(made), spec.contract)
        assert rig.count(spec.contract) == 1

    def test_a_handle_of_one_contract_does_not_destroy_for_another(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        with pytest.raises(Rejected):
            rig.driver().destroy(handle_of(made), new_contract())
        assert rig.driver().inspect(handle_of(made), spec.contract).state is Observed.RUNNING
        assert rig.count(spec.contract) == 1

    def test_destroying_twice_succeeds_and_leaves_nothing(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        for _ in range(2):
            gone = removed(rig, rig.driver(), made)
            assert (gone.state, gone.scope) == (Observed.ABSENT, made.scope)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_a_machine_that_is_still_being_made_can_be_destroyed(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = rig.driver().create(spec)
        assert removed(rig, rig.driver(), made).state is Observed.ABSENT
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_a_read_after_the_end_says_absent_from_the_same_backend(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        removed(rig, rig.driver(), made)
        read = rig.driver().inspect(handle_of(made), spec.contract)
        assert (read.state, read.scope) == (Observed.ABSENT, made.scope)
        assert rig.driver().scope() == made.scope

    def test_after_the_end_the_contract_can_have_a_new_machine(self, rig: Rig) -> None:
        spec = new_spec(rig)
        removed(rig, rig.driver(), running(rig, rig.driver(), spec))
        again = new_spec(rig, spec.contract, attempt="second")
        seen = settled(rig, rig.driver(), patiently(rig, lambda: rig.driver().create(again)))
        assert seen.attempt == "second"
        assert rig.count(spec.contract) == 1

    def test_a_driver_started_later_reads_by_the_kept_handle(self, rig: Rig) -> None:
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        kept = rig.handle_from_store(handle_of(made))
        read = rig.driver().inspect(kept, spec.contract)
        assert (read.state, read.attempt) == (Observed.RUNNING, "first")
        assert (read.host, read.port, read.scope) == (made.host, made.port, made.scope)
        assert removed(rig, rig.driver(), read).state is Observed.ABSENT

    def test_lists_show_ours_with_port_and_attempt_and_nothing_else(self, rig: Rig) -> None:
        first, second = new_spec(rig), new_spec(rig, attempt="another")
        driver = rig.driver()
        made = {each.contract: running(rig, driver, each) for each in (first, second)}
        if Power.FOREIGN in rig.powers:
            rig.add_foreign("dc-somebody-else")
        seen = {each.contract: each for each in driver.list_owned()}
        assert set(seen) == {first.contract, second.contract}
        for spec in (first, second):
            one = seen[spec.contract]
            assert (one.attempt, one.handle) == (spec.attempt, made[spec.contract].handle)
            assert (one.host, one.port) == (made[spec.contract].host, made[spec.contract].port)
        (only,) = driver.list_owned(second.contract)
        assert (only.contract, only.handle) == (second.contract, seen[second.contract].handle)
        assert driver.list_owned(new_contract()) == ()

    def test_what_vanished_is_absent_and_may_be_destroyed(self, rig: Rig) -> None:
        need_power(rig, Power.VANISH)
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        rig.vanish(spec.contract)
        read = rig.driver().inspect(handle_of(made), spec.contract)
        assert (read.state, read.scope) == (Observed.ABSENT, made.scope)
        assert rig.driver().list_owned(spec.contract) == ()
        assert removed(rig, rig.driver(), made).state is Observed.ABSENT
        assert rig.pieces(spec.contract) == 0

    def test_an_image_that_nobody_has_is_an_error_that_leaves_nothing(self, rig: Rig) -> None:
        need_power(rig, Power.IMAGE_LIST)
        spec = new_spec(rig, image="no-such-image-anywhere")
        with pytest.raises(DriverError) as refusal:
            rig.driver().create(spec)
        assert not isinstance(refusal.value, TryLater)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_secrets_show_in_no_answer(self, rig: Rig) -> None:
        spec = new_spec(rig)
        driver = rig.driver()
        said = repr([running(rig, driver, spec), driver.list_owned(), driver.describe(), spec])
        for secret in (spec.password.reveal(), spec.host_key.seed_hex.reveal()):
            assert secret not in said

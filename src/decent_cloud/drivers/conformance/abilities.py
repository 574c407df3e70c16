"""What drivers may offer beyond the six verbs; each class is skipped where the driver does not."""

# mypy: disable-error-code="type-abstract"

from __future__ import annotations

import pytest

from decent_cloud.drivers.conformance.needs import need_ability, need_fault, need_power
from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig
from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_contract,
    new_password,
    new_plan,
    new_spec,
    patiently,
    removed,
    running,
    until,
)
from decent_cloud.drivers.contract import (
    CanCheckPlan,
    CanMeter,
    CanResetPassword,
    CanStop,
    Driver,
    DriverError,
    Observation,
    Rejected,
    Secret,
)
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

USER = "root"


class StopSuite:
    """Stopping keeps the machine, its address and its place in lists."""

    def test_stop_and_start_keep_address_and_host_key_and_may_be_repeated(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        spec = new_spec(rig)
        made = running(rig, driver, spec)
        for _ in range(2):
            stopped(rig, can, made)
        handle = handle_of(made)
        again = [
            until(rig, lambda: can.start(handle, spec.contract), Observed.RUNNING) for _ in range(2)
        ]
        for each in again:
            assert (each.host, each.port, each.attempt) == (made.host, made.port, "first")
        if Power.HOST_KEY in rig.powers:
            assert rig.seen_host_key(again[-1]) == spec.host_key.public

    def test_lists_show_stopped_machines_with_port_and_attempt(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        alive, still = new_spec(rig), new_spec(rig)
        running(rig, driver, alive)
        made = running(rig, driver, still)
        stopped(rig, can, made)
        seen = {each.contract: each for each in driver.list_owned()}
        assert set(seen) == {alive.contract, still.contract}
        one = seen[still.contract]
        assert (one.state, one.attempt, one.port) == (Observed.STOPPED, "first", made.port)

    def test_a_stopped_machine_is_destroyed_as_well(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        spec = new_spec(rig)
        made = running(rig, driver, spec)
        stopped(rig, can, made)
        assert removed(rig, driver, made).state is Observed.ABSENT
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_creating_what_is_stopped_makes_no_second_one(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        spec = new_spec(rig)
        made = running(rig, driver, spec)
        stopped(rig, can, made)
        assert driver.create(spec).handle == made.handle
        assert rig.count(spec.contract) == 1

    def test_stop_and_start_of_what_is_gone_say_absent(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        made = running(rig, driver, new_spec(rig))
        removed(rig, driver, made)
        assert can.stop(handle_of(made), made.contract).state is Observed.ABSENT
        assert can.start(handle_of(made), made.contract).state is Observed.ABSENT

    def test_nobody_stops_a_machine_for_another_contract(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        made = running(rig, driver, new_spec(rig))
        with pytest.raises(Rejected):
            can.stop(handle_of(made), new_contract())
        assert driver.inspect(handle_of(made), made.contract).state is Observed.RUNNING

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.UNAVAILABLE, Fault.LOCKED])
    def test_a_stop_in_doubt_is_repeated(self, rig: Rig, fault: Fault) -> None:
        need_fault(rig, Act.STOP, fault)
        driver = rig.driver()
        can = need_ability(driver, CanStop)
        made = running(rig, driver, new_spec(rig))
        rig.inject(Act.STOP, fault)
        with pytest.raises(DriverError):
            need_ability(rig.driver(), CanStop).stop(handle_of(made), made.contract)
        assert stopped(rig, can, made).state is Observed.STOPPED


class ResetSuite:
    """After a reset exactly one password works, and the driver says which."""

    def test_the_new_password_works_and_the_old_one_does_not(self, rig: Rig) -> None:
        driver, can = able_to_reset(rig)
        spec = new_spec(rig)
        made = running(rig, driver, spec)
        works = reset(rig, can, made, new_password())
        need_power(rig, Power.PASSWORD)
        assert rig.takes_password(made, USER, works)
        assert not rig.takes_password(made, USER, spec.password)

    def test_a_repeated_reset_ends_in_what_the_last_answer_says(self, rig: Rig) -> None:
        driver, can = able_to_reset(rig)
        made = running(rig, driver, new_spec(rig))
        wanted = new_password()
        first, last = (reset(rig, can, made, wanted) for _ in range(2))
        need_power(rig, Power.PASSWORD)
        assert rig.takes_password(made, USER, last)
        assert first.reveal() == last.reveal() or not rig.takes_password(made, USER, first)

    def test_a_lost_answer_to_a_reset_is_mended_by_the_next(self, rig: Rig) -> None:
        need_fault(rig, Act.RESET, Fault.LOST)
        driver, can = able_to_reset(rig)
        spec = new_spec(rig)
        made = running(rig, driver, spec)
        rig.inject(Act.RESET, Fault.LOST)
        wanted = new_password()
        with pytest.raises(DriverError):
            able_to_reset(rig)[1].reset_password(handle_of(made), spec.contract, USER, wanted)
        works = reset(rig, can, made, wanted)
        need_power(rig, Power.PASSWORD)
        assert rig.takes_password(made, USER, works)
        assert not rig.takes_password(made, USER, spec.password)

    def test_a_password_with_signs_that_shells_know_is_taken_as_it_is(self, rig: Rig) -> None:
        driver, can = able_to_reset(rig)
        made = running(rig, driver, new_spec(rig))
        works = reset(rig, can, made, Secret("a'b\"c$(id)`id`;#\\ &|:%d"))
        need_power(rig, Power.PASSWORD)
        assert rig.takes_password(made, USER, works)

    def test_no_password_is_set_for_another_contract_or_after_the_end(self, rig: Rig) -> None:
        driver, can = able_to_reset(rig)
        made = running(rig, driver, new_spec(rig))
        with pytest.raises(Rejected):
            can.reset_password(handle_of(made), new_contract(), USER, new_password())
        removed(rig, driver, made)
        with pytest.raises(Rejected):
            can.reset_password(handle_of(made), made.contract, USER, new_password())

    def test_no_error_of_a_reset_shows_the_password(self, rig: Rig) -> None:
        driver, can = able_to_reset(rig)
        made = running(rig, driver, new_spec(rig))
        wanted = new_password()
        with pytest.raises(DriverError) as refusal:
            can.reset_password(handle_of(made), new_contract(), USER, wanted)
        assert wanted.reveal() not in f"{refusal.value!r} {refusal.value.details}"


class MeterSuite:
    """Traffic only grows, and counts from a known time."""

    def test_traffic_counts_up_from_a_time_in_the_past(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanMeter)
        made = running(rig, driver, new_spec(rig))
        first, second = (
            patiently(rig, lambda: can.meter(handle_of(made), made.contract)) for _ in range(2)
        )
        assert 0 <= first.received_bytes <= second.received_bytes
        assert 0 <= first.sent_bytes <= second.sent_bytes
        assert first.since_ms == second.since_ms > 0

    def test_nobody_meters_for_another_contract_or_what_is_gone(self, rig: Rig) -> None:
        driver = rig.driver()
        can = need_ability(driver, CanMeter)
        made = running(rig, driver, new_spec(rig))
        with pytest.raises(Rejected):
            can.meter(handle_of(made), new_contract())
        removed(rig, driver, made)
        with pytest.raises(Rejected):
            can.meter(handle_of(made), made.contract)


class PlanSuite:
    """What cannot be rented out is found before anyone rents it."""

    def test_the_plan_of_a_machine_that_can_be_made_passes(self, rig: Rig) -> None:
        checks = need_ability(rig.driver(), CanCheckPlan).check_plan(new_plan(rig))
        assert checks
        assert all(each.passed for each in checks), checks

    @pytest.mark.parametrize(
        "wrong",
        [{"image": "no-such-image-anywhere"}, {"cpu_milli": 9_999_000, "memory_mib": 99_999_999}],
        ids=["image", "size"],
    )
    def test_an_unknown_image_or_size_fails_with_a_cure(
        self, rig: Rig, wrong: dict[str, object]
    ) -> None:
        can = need_ability(rig.driver(), CanCheckPlan)
        failed = [each for each in can.check_plan(new_plan(rig, **wrong)) if not each.passed]
        assert failed
        assert all(each.cure for each in failed)

    def test_what_is_sold_out_fails_with_a_cure(self, rig: Rig) -> None:
        need_fault(rig, Act.PLAN, Fault.SOLD_OUT)
        can = need_ability(rig.driver(), CanCheckPlan)
        rig.inject(Act.PLAN, Fault.SOLD_OUT)
        failed = [each for each in can.check_plan(new_plan(rig)) if not each.passed]
        assert failed
        assert all(each.cure for each in failed)

    def test_checking_makes_nothing(self, rig: Rig) -> None:
        need_ability(rig.driver(), CanCheckPlan).check_plan(new_plan(rig))
        assert rig.driver().list_owned() == ()


def stopped(rig: Rig, can: CanStop, made: Observation) -> Observation:
    """Stop a machine and wait until it stands still."""
    return until(rig, lambda: can.stop(handle_of(made), made.contract), Observed.STOPPED)


def able_to_reset(rig: Rig) -> tuple[Driver, CanResetPassword]:
    """Return the driver, and again as one that can reset passwords; skips otherwise."""
    driver = rig.driver()
    return driver, need_ability(driver, CanResetPassword)


def reset(rig: Rig, can: CanResetPassword, made: Observation, password: Secret) -> Secret:
    """Reset a machine's password, waiting where the backend asks for it."""
    handle, contract = handle_of(made), ContractId(made.contract)
    return patiently(rig, lambda: can.reset_password(handle, contract, USER, password))

"""The verbs when the backend fails: nothing twice, nothing left, nothing read as gone that is not."""

from __future__ import annotations

from contextlib import suppress

import pytest

from decent_cloud.drivers.conformance.needs import need_fault
from decent_cloud.drivers.conformance.rig import RETRY_AFTER_S, Act, Fault, Power, Rig
from decent_cloud.drivers.conformance.specs import (
    handle_of,
    new_spec,
    patiently,
    removed,
    running,
    settled,
)
from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    TryLater,
)
from decent_cloud.kernel.status import Observed

DOUBTFUL = (Fault.RATE_LIMITED, Fault.UNAVAILABLE, Fault.TIMEOUT, Fault.LOCKED)
UNREADABLE = (*DOUBTFUL, Fault.DENIED, Fault.GARBLED)


class FaultSuite:
    """Every driver keeps this; a rig says which of it can be tried."""

    def test_a_lost_answer_to_create_leaves_one_machine_that_the_next_create_finds(
        self, rig: Rig
    ) -> None:
        need_fault(rig, Act.CREATE, Fault.LOST)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, Fault.LOST)
        with pytest.raises(TryLater):
            rig.driver().create(spec)
        again = patiently(rig, lambda: rig.driver().create(spec))
        seen = settled(rig, rig.driver(), again)
        assert seen.attempt == "first"
        assert rig.count(spec.contract) == 1
        if Power.HOST_KEY in rig.powers:
            assert rig.seen_host_key(seen) == spec.host_key.public

    @pytest.mark.parametrize("fault", DOUBTFUL)
    def test_a_create_in_doubt_is_tried_later_and_gives_one_machine(
        self, rig: Rig, fault: Fault
    ) -> None:
        need_fault(rig, Act.CREATE, fault)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, fault)
        with pytest.raises(TryLater) as refusal:
            rig.driver().create(spec)
        if fault is Fault.RATE_LIMITED:
            assert refusal.value.after_s >= RETRY_AFTER_S
        seen = settled(rig, rig.driver(), patiently(rig, lambda: rig.driver().create(spec)))
        assert rig.count(spec.contract) == 1
        removed(rig, rig.driver(), seen)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_sold_out_is_no_capacity_and_leaves_nothing(self, rig: Rig) -> None:
        need_fault(rig, Act.CREATE, Fault.SOLD_OUT)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, Fault.SOLD_OUT)
        with pytest.raises(NoCapacity):
            rig.driver().create(spec)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)
        assert rig.driver().list_owned(spec.contract) == ()

    def test_wrong_credentials_are_said_to_be_wrong(self, rig: Rig) -> None:
        need_fault(rig, Act.CREATE, Fault.DENIED)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, Fault.DENIED)
        with pytest.raises(AuthFailed):
            rig.driver().create(spec)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_an_answer_without_sense_is_broken_or_tried_later_and_ends_in_one_machine(
        self, rig: Rig
    ) -> None:
        need_fault(rig, Act.CREATE, Fault.GARBLED)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, Fault.GARBLED)
        with pytest.raises((Broken, TryLater)):
            rig.driver().create(spec)
        settled(rig, rig.driver(), patiently(rig, lambda: rig.driver().create(spec)))
        assert rig.count(spec.contract) == 1

    def test_half_of_a_machine_is_finished_or_replaced_and_all_of_it_removed(
        self, rig: Rig
    ) -> None:
        need_fault(rig, Act.CREATE, Fault.PARTIAL)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, Fault.PARTIAL)
        with pytest.raises(DriverError):
            rig.driver().create(spec)
        assert all(
            each.state is not Observed.RUNNING for each in rig.driver().list_owned(spec.contract)
        )
        seen = settled(rig, rig.driver(), patiently(rig, lambda: rig.driver().create(spec)))
        assert rig.count(spec.contract) == 1
        removed(rig, rig.driver(), seen)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_without_an_address_a_machine_does_not_run_yet(self, rig: Rig) -> None:
        need_fault(rig, Act.CREATE, Fault.SLOW)
        spec = new_spec(rig)
        rig.inject(Act.CREATE, Fault.SLOW)
        made = rig.driver().create(spec)
        assert made.state is Observed.CREATING
        assert rig.driver().create(spec).handle == made.handle
        seen = settled(rig, rig.driver(), made)
        assert seen.host
        assert rig.count(spec.contract) == 1

    @pytest.mark.parametrize("fault", UNREADABLE)
    def test_a_read_that_fails_is_never_absence(self, rig: Rig, fault: Fault) -> None:
        need_fault(rig, Act.INSPECT, fault)
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        rig.inject(Act.INSPECT, fault)
        with suppress(TryLater, AuthFailed, Broken):  # or the driver read again by itself
            read = rig.driver().inspect(handle_of(made), spec.contract)
            assert read.state is Observed.RUNNING
        after = patiently(rig, lambda: rig.driver().inspect(handle_of(made), spec.contract))
        assert (after.state, after.scope) == (Observed.RUNNING, made.scope)

    @pytest.mark.parametrize("fault", UNREADABLE)
    def test_a_list_that_fails_is_never_empty(self, rig: Rig, fault: Fault) -> None:
        need_fault(rig, Act.LIST, fault)
        spec = new_spec(rig)
        running(rig, rig.driver(), spec)
        rig.inject(Act.LIST, fault)
        with suppress(TryLater, AuthFailed, Broken):
            assert [each.contract for each in rig.driver().list_owned()] == [spec.contract]
        after = patiently(rig, lambda: rig.driver().list_owned())
        assert [each.contract for each in after] == [spec.contract]

    @pytest.mark.parametrize("fault", [*DOUBTFUL, Fault.DENIED])
    def test_a_destroy_that_fails_leaves_the_machine_to_the_next_try(
        self, rig: Rig, fault: Fault
    ) -> None:
        need_fault(rig, Act.DESTROY, fault)
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        rig.inject(Act.DESTROY, fault)
        with pytest.raises((TryLater, AuthFailed)):
            rig.driver().destroy(handle_of(made), spec.contract)
        assert rig.count(spec.contract) == 1
        gone = removed(rig, rig.driver(), made)
        assert (gone.state, gone.scope) == (Observed.ABSENT, made.scope)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_a_lost_answer_to_destroy_ends_in_nothing(self, rig: Rig) -> None:
        need_fault(rig, Act.DESTROY, Fault.LOST)
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        rig.inject(Act.DESTROY, Fault.LOST)
        with pytest.raises(TryLater):
            rig.driver().destroy(handle_of(made), spec.contract)
        gone = removed(rig, rig.driver(), made)
        assert (gone.state, gone.scope) == (Observed.ABSENT, made.scope)
        assert (rig.count(spec.contract), rig.pieces(spec.contract)) == (0, 0)

    def test_what_goes_slowly_is_deleting_until_it_is_gone(self, rig: Rig) -> None:
        need_fault(rig, Act.DESTROY, Fault.SLOW)
        spec = new_spec(rig)
        made = running(rig, rig.driver(), spec)
        rig.inject(Act.DESTROY, Fault.SLOW)
        first = rig.driver().destroy(handle_of(made), spec.contract)
        assert first.state is not Observed.ABSENT
        assert removed(rig, rig.driver(), made).state is Observed.ABSENT
        assert rig.driver().list_owned(spec.contract) == ()

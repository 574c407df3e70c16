"""The conformance kit catches drivers that do what drivers elsewhere were found to do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from decent_cloud.drivers.conformance.abilities import StopSuite
from decent_cloud.drivers.conformance.faults import FaultSuite
from decent_cloud.drivers.conformance.rig import Act, Fault, Rig
from decent_cloud.drivers.conformance.verbs import VerbSuite
from decent_cloud.drivers.contract import (
    DriverError,
    Handle,
    InstanceSpec,
    Observation,
    TryLater,
)
from decent_cloud.drivers.fake.driver import FakeDriver, FakeSettings
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed
from tests.drivers.test_fake import FakeRig

_numbers = itertools.count()


class Duplicating(FakeDriver):
    """Makes another machine at each try."""

    def create(self, spec: InstanceSpec) -> Observation:
        return super().create(replace(spec, name=f"{spec.name}-{next(_numbers)}"))


class Sleepy(FakeDriver):
    """Does not see what is stopped."""

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        found = super().list_owned(contract)
        return tuple(each for each in found if each.state is not Observed.STOPPED)


class Hasty(FakeDriver):
    """Reads every failure as absence."""

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        try:
            return super().inspect(handle, contract)
        except DriverError:
            return Observation(contract, Observed.ABSENT, self._backend.scope(), handle)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        try:
            return super().list_owned(contract)
        except DriverError:
            return ()


class Careless(FakeDriver):
    """Removes whatever a handle names."""

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        self._backend.vanish(int(handle.data["id"]))
        return Observation(contract, Observed.ABSENT, self._backend.scope(), handle)


class Optimistic(FakeDriver):
    """Says that it is gone though the backend failed."""

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        try:
            return super().destroy(handle, contract)
        except TryLater:
            return Observation(contract, Observed.ABSENT, self._backend.scope(), handle)


class Grabbing(FakeDriver):
    """Takes a machine of somebody else for its own, by name."""

    def create(self, spec: InstanceSpec) -> Observation:
        for each in self._backend.machines():
            if each.name == spec.name:
                handle = Handle("fake", {"id": str(each.id)})
                return Observation(spec.contract, Observed.RUNNING, "s", handle, "h", 22, "first")
        return super().create(spec)


class Boasting(FakeDriver):
    """Runs before it has an address."""

    def create(self, spec: InstanceSpec) -> Observation:
        return replace(super().create(spec), state=Observed.RUNNING)


class Renaming(FakeDriver):
    """Says that the machine has the secrets of the newest attempt."""

    def create(self, spec: InstanceSpec) -> Observation:
        return replace(super().create(spec), attempt=spec.attempt)


class Telling(FakeDriver):
    """Shows the password."""

    def create(self, spec: InstanceSpec) -> Observation:
        return replace(super().create(spec), detail=f"password {spec.password.reveal()}")


class Swallowing(FakeDriver):
    """Takes every failure to create for a lost answer that will come right."""

    def create(self, spec: InstanceSpec) -> Observation:
        try:
            return super().create(spec)
        except DriverError as error:
            raise TryLater(error.message) from error


class SloppyRig(FakeRig):
    def __init__(self, path: Path, kind: type[FakeDriver]) -> None:
        super().__init__(path)
        self._kind = kind

    def driver(self, platform: str = "") -> FakeDriver:
        settings = FakeSettings(path=str(self.path))
        return self._kind(self.backend, platform or self.platform, settings)

    @classmethod
    def of(cls, path: Path, kind: type[FakeDriver]) -> Self:
        return cls(path, kind)


CAUGHT: Mapping[type[FakeDriver], tuple[Callable[[Rig], None], ...]] = {
    Duplicating: (
        VerbSuite().test_creating_twice_gives_one_machine,
        FaultSuite().test_a_lost_answer_to_create_leaves_one_machine_that_the_next_create_finds,
        VerbSuite().test_two_threads_of_one_agent_get_one_machine,
    ),
    Sleepy: (StopSuite().test_lists_show_stopped_machines_with_port_and_attempt,),
    Hasty: (
        lambda rig: FaultSuite().test_a_read_that_fails_is_never_absence(rig, Fault.UNAVAILABLE),
        lambda rig: FaultSuite().test_a_list_that_fails_is_never_empty(rig, Fault.DENIED),
    ),
    Careless: (
        VerbSuite().test_a_handle_of_one_contract_does_not_destroy_for_another,
        VerbSuite().test_another_platforms_machine_is_neither_listed_nor_destroyed,
    ),
    Optimistic: (
        lambda rig: FaultSuite().test_a_destroy_that_fails_leaves_the_machine_to_the_next_try(
            rig, Fault.UNAVAILABLE
        ),
    ),
    Grabbing: (VerbSuite().test_a_foreign_thing_with_our_name_is_refused_and_left_alone,),
    Boasting: (FaultSuite().test_without_an_address_a_machine_does_not_run_yet,),
    Renaming: (VerbSuite().test_a_running_machine_of_another_attempt_is_adopted_as_it_is,),
    Telling: (VerbSuite().test_secrets_show_in_no_answer,),
    Swallowing: (
        FaultSuite().test_sold_out_is_no_capacity_and_leaves_nothing,
        FaultSuite().test_wrong_credentials_are_said_to_be_wrong,
    ),
}
PAIRS = [
    pytest.param(kind, number, id=f"{kind.__name__}-{number}")
    for kind, tests in CAUGHT.items()
    for number in range(len(tests))
]


@pytest.mark.parametrize(("kind", "number"), PAIRS)
def test_the_kit_catches_it(tmp_path: Path, kind: type[FakeDriver], number: int) -> None:
    rig = SloppyRig.of(tmp_path / "cloud.db", kind)
    with pytest.raises((AssertionError, pytest.fail.Exception, DriverError)):
        CAUGHT[kind][number](rig)


@pytest.mark.parametrize(("kind", "number"), PAIRS)
def test_and_lets_the_honest_one_pass(tmp_path: Path, kind: type[FakeDriver], number: int) -> None:
    rig = SloppyRig.of(tmp_path / "cloud.db", FakeDriver)
    CAUGHT[kind][number](rig)
    assert rig.backend.machines(deleted=True) or kind is Swallowing


def test_a_rig_that_claims_more_than_it_has_is_told() -> None:
    class Boastful(Rig):
        platform = "p"
        image = "i"

        def driver(self, platform: str = "") -> FakeDriver:
            raise NotImplementedError

    with pytest.raises(AssertionError, match="inject"):
        Boastful().inject(Act.CREATE, Fault.LOST)

"""The agent dies at every named step once and is started again: one machine, handed over; then none."""

from __future__ import annotations

import hashlib
import threading

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.domain.keys.credentials import Expected, open_credential, sealed_from_json
from decent_cloud.drivers.fake.script import Verb
from tests.agent.rig import Rig, eventually, running
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


class Dead(SystemExit):
    """Ends a thread where a killed process would have ended, without a word."""


class Killer:
    """Lets every thread of the agent die at its next step once the step was reached."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.dead = threading.Event()

    def __call__(self, step: str) -> None:
        if step == self.step:
            self.dead.set()
        if self.dead.is_set():
            raise Dead


def run_until_dead(rig: Rig, killer: Killer) -> None:
    with running(rig, killer) as agent:
        assert killer.dead.wait(20), f"{killer.step} never came"
        agent.actor.draining.set()


@pytest.mark.parametrize("step", steps.CREATE_PATH)
def test_a_crash_while_making(rig: Rig, shop: Shop, tenant: Person, step: str) -> None:
    rig.backend.change(unique_names=False, list_lag_ms=50)
    offering = publish(shop)
    id_ = rent(tenant, offering)["id"]
    until(tenant, id_, "accepted", "provisioning")
    run_until_dead(rig, Killer(step))
    with running(rig) as agent:
        until(tenant, id_, "active", timeout_s=20)
        rig.reaches(id_, Stage.BOUND)
        assert len(rig.backend.machines(id_)) == 1
        machine = rig.backend.machines(id_)[0]
        assert until(tenant, id_, "active")["host_keys"] == [machine.host_key]
        assert agent.work.journal.quarantined() == ()
        eventually(lambda: not agent.work.journal.reports())


def test_a_machine_of_an_earlier_attempt_is_handed_over_with_its_own_secrets(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    """The look-ups do not show it, so secrets are made anew; the create call then finds the first machine."""
    rig.backend.change(list_lag_ms=4_000)
    rig.changed["read_lag_ms"] = 100
    contract = rent(tenant, publish(shop))
    id_ = contract["id"]
    run_until_dead(rig, Killer(steps.CREATE_ANSWERED))
    with running(rig) as agent:
        until(tenant, id_, "active", timeout_s=20)
        machine = rig.backend.machines(id_)[0]
        rig.reaches(id_, Stage.BOUND)
        found = rig.instance(id_)
        assert found is not None
        assert found.attempt == machine.attempt
        assert len(rig.backend.calls(Verb.CREATE, id_)) == 2
        assert agent.work.journal.quarantined() == ()
    view = tenant.api.get(f"/contracts/{id_}/credential").json()
    opened = open_credential(
        sealed_from_json(view["credential"]),
        tenant.seed,
        Expected(tenant.id, contract["digest"], shop.owner.chain, [shop.agent_keys.kid]),
    )
    assert opened.access.host_keys == (machine.host_key,)
    salt, _, hashed = machine.password_hash.partition("$")
    password = opened.access.password or ""
    assert hashlib.sha256((salt + password).encode()).hexdigest() == hashed


@pytest.mark.parametrize("step", steps.DESTROY_PATH)
def test_a_crash_while_removing(rig: Rig, shop: Shop, tenant: Person, step: str) -> None:
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
    assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
    run_until_dead(rig, Killer(step))
    with running(rig) as agent:
        rig.reaches(id_, Stage.ENDED)
        assert rig.backend.machines(id_) == ()
        assert agent.work.journal.reports() == ()
        assert agent.work.journal.ports() == {}


def test_every_step_of_the_paths_has_a_name_of_its_own() -> None:
    assert len(set(steps.STEPS)) == len(steps.STEPS)
    assert set(steps.CREATE_PATH) | set(steps.DESTROY_PATH) <= set(steps.STEPS)

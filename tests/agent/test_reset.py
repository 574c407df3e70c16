"""New passwords, over a real platform and a fake cloud: one works in the end, and it is the tenant's newest.

The agent dies at every step of a reset once; faults hit it in between.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.management import own_key
from decent_cloud.agent.records import Stage
from decent_cloud.drivers.contract import Driver, InstanceSpec, Observation
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from tests.agent.records import instance
from tests.agent.rig import QUICK, Rig, eventually, running
from tests.agent.test_crash import Killer, run_until_dead
from tests.support.kept import kept_in
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop
from tests.support.secrets import opened, password

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

OPEN = {"requested", "claimed", "applied"}


def active(rig: Rig, shop: Shop, tenant: Person, **changes: object) -> str:
    """Rent a machine and wait until it is the tenant's."""
    id_ = str(rent(tenant, publish(shop, **changes))["id"])
    until(tenant, id_, "active")
    rig.reaches(id_, Stage.BOUND)
    return id_


def ask(tenant: Person, contract: str) -> dict[str, Any]:
    answer = tenant.api.post(f"/contracts/{contract}/reset-password")
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def last(tenant: Person, contract: str) -> dict[str, Any]:
    found: dict[str, Any] = tenant.api.get(f"/contracts/{contract}/resets").json()["items"][-1]
    return found


def ended(tenant: Person, contract: str) -> dict[str, Any]:
    """Wait until the newest reset is over."""

    def look() -> dict[str, Any] | None:
        found = last(tenant, contract)
        return None if found["state"] in OPEN else found

    return eventually(look, 20)


def works(rig: Rig, contract: str, secret: str) -> bool:
    (machine,) = rig.backend.machines(contract)
    return rig.backend.takes_password(machine.id, secret)


def settled(rig: Rig, contract: str) -> None:
    """Wait until the agent has nothing left to do for the contract's password."""

    def idle() -> bool:
        found = rig.instance(contract)
        return found is not None and found.reset is None and found.reset_done != ""

    eventually(idle)


def test_a_tenant_gets_a_new_password_and_the_old_one_is_dead(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        old = password(tenant, shop, id_)
        assert works(rig, id_, old)
        asked = ask(tenant, id_)
        assert (asked["state"], asked["origin"]) == ("requested", "tenant")
        done = ended(tenant, id_)
        assert (done["id"], done["state"], done["n"]) == (asked["id"], "verified", 2)
        assert done["agent"] == rig.keys.kid
        new = opened(tenant, shop, id_)
        assert new.subject.number == 2
        assert new.access.password not in {old, None}
        assert works(rig, id_, new.access.password or "")
        assert not works(rig, id_, old)
        settled(rig, id_)
        assert len(rig.backend.calls(Verb.RESET)) == 1
        assert until(tenant, id_, "active")["credential_n"] == 2


def test_a_provider_resets_by_itself(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        old = password(tenant, shop, id_)
        body = {"outcome": "claimed", "scope": rig.backend.scope()}
        begun = shop.agent.put(f"/provider/rental-requests/{id_}/password", body).json()
        assert (begun["state"], begun["origin"]) == ("claimed", "provider")
        assert ended(tenant, id_)["state"] == "verified"
        assert works(rig, id_, password(tenant, shop, id_))
        assert not works(rig, id_, old)


@pytest.mark.parametrize("step", steps.RESET_PATH)
def test_a_crash_at_any_step_leaves_one_password_and_the_tenant_has_it(
    rig: Rig, shop: Shop, tenant: Person, step: str
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
    old = password(tenant, shop, id_)
    ask(tenant, id_)
    run_until_dead(rig, Killer(step))
    with running(rig):
        assert ended(tenant, id_)["state"] == "verified"
        settled(rig, id_)
        new = password(tenant, shop, id_)
        assert new != old
        assert works(rig, id_, new)
        assert not works(rig, id_, old)


@pytest.mark.parametrize("fault", [Fault.TRY_LATER, Fault.ANSWER_LOST, Fault.BROKEN])
@pytest.mark.parametrize("verb", [Verb.RESET, Verb.LOGIN])
def test_a_backend_that_stumbles_is_asked_again(
    rig: Rig, shop: Shop, tenant: Person, verb: Verb, fault: Fault
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        rig.backend.fail_next(verb, fault, times=2)
        ask(tenant, id_)
        assert ended(tenant, id_)["state"] == "verified"
        assert works(rig, id_, password(tenant, shop, id_))


@pytest.mark.parametrize(
    ("fault", "failure"), [(Fault.REJECTED, "rejected"), (Fault.AUTH_FAILED, "auth_failed")]
)
def test_what_cannot_be_done_is_said_and_the_old_password_stays(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault, failure: str
) -> None:
    with running(rig) as agent:
        id_ = active(rig, shop, tenant)
        old = password(tenant, shop, id_)
        rig.backend.fail_next(Verb.RESET, fault)
        ask(tenant, id_)
        done = ended(tenant, id_)
        assert (done["state"], done["failure"], done["n"]) == ("failed", failure, 0)
        assert works(rig, id_, password(tenant, shop, id_))
        assert password(tenant, shop, id_) == old
        assert [each.name for each in agent.work.journal.alarms()] == [f"reset:{id_}"]
        ask(tenant, id_)
        assert ended(tenant, id_)["state"] == "verified"


def test_a_request_that_ran_out_before_anything_was_called_is_dropped(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
    old = password(tenant, shop, id_)
    asked = ask(tenant, id_)
    run_until_dead(rig, Killer(steps.RESET_SEALED_JOURNALLED))
    body = {
        "outcome": "failed",
        "scope": rig.backend.scope(),
        "reset": asked["id"],
        "failure": "timed_out",
    }
    answer = shop.agent.put(f"/provider/rental-requests/{id_}/password", body)
    assert answer.json()["state"] == "failed"
    with running(rig):
        settled(rig, id_)
        assert works(rig, id_, old)
        assert rig.backend.calls(Verb.RESET) == ()


def test_a_password_that_was_set_reaches_the_tenant_even_after_the_request_failed(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
    old = password(tenant, shop, id_)
    asked = ask(tenant, id_)
    run_until_dead(rig, Killer(steps.RESET_ANSWERED))
    assert not works(rig, id_, old)
    body = {
        "outcome": "failed",
        "scope": rig.backend.scope(),
        "reset": asked["id"],
        "failure": "timed_out",
    }
    shop.agent.put(f"/provider/rental-requests/{id_}/password", body)
    with running(rig):
        settled(rig, id_)
        assert last(tenant, id_)["state"] == "failed"
        assert works(rig, id_, password(tenant, shop, id_))


def test_an_offering_without_the_promise_refuses_the_tenant_but_not_its_provider(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant, reset=False)
        answer = tenant.api.post(f"/contracts/{id_}/reset-password")
        assert (answer.status_code, answer.json()["code"]) == (409, "reset_not_promised")
        body = {"outcome": "claimed", "scope": rig.backend.scope()}
        shop.agent.put(f"/provider/rental-requests/{id_}/password", body)
        assert ended(tenant, id_)["state"] == "verified"


def test_no_plaintext_stays_in_the_agents_files(
    rig: Rig, shop: Shop, tenant: Person, tmp_path: Path
) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
    ask(tenant, id_)
    run_until_dead(rig, Killer(steps.RESET_APPLIED_ACKNOWLEDGED))
    known = {password(tenant, shop, id_)}
    with running(rig):
        assert ended(tenant, id_)["state"] == "verified"
        settled(rig, id_)
    known.add(password(tenant, shop, id_))
    assert len(known) == 2, "the second agent could not know the first one's secret"
    kept = kept_in(tmp_path)
    assert id_.encode() in kept
    for secret in known:
        assert secret.encode() not in kept


def test_the_end_of_the_contract_ends_the_work(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = active(rig, shop, tenant)
        rig.backend.fail_next(Verb.RESET, Fault.TRY_LATER, times=100)
        ask(tenant, id_)
        eventually(lambda: last(tenant, id_)["state"] == "claimed")
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        done = ended(tenant, id_)
        assert (done["state"], done["failure"]) == ("failed", "contract_ended")
        rig.reaches(id_, Stage.ENDED)
        assert rig.backend.machines(id_) == ()


class Bare:
    """The fake driver without any way into its machines."""

    def __init__(self, inner: FakeDriver) -> None:
        self.specs: list[InstanceSpec] = []
        self._inner = inner
        for verb in ("describe", "probe", "scope", "inspect", "destroy", "list_owned", "close"):
            setattr(self, verb, getattr(inner, verb))

    def create(self, spec: InstanceSpec) -> Observation:
        self.specs.append(spec)
        return self._inner.create(spec)


def bare_agent(rig: Rig) -> Bare:
    """Start the rig's agent over a driver that cannot set passwords."""
    journal = rig.journal()
    driver = Bare(rig.driver(journal.fact(PLATFORM_ID)))
    parts = Parts(rig.keys, journal, cast("Driver", driver), limits=QUICK)
    rig.agent = Agent(rig.settings(), parts)
    rig.thread = threading.Thread(target=rig.agent.run)
    rig.thread.start()
    return driver


def test_a_backend_without_a_way_in_says_so(rig: Rig, shop: Shop, tenant: Person) -> None:
    driver = bare_agent(rig)
    id_ = active(rig, shop, tenant)
    ask(tenant, id_)
    done = ended(tenant, id_)
    assert (done["state"], done["failure"]) == ("failed", "no_ability")
    assert "cannot set passwords" in done["detail"]
    assert driver.specs[0].management_key is None


def test_the_management_key_is_put_in_where_the_terms_say_so(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    driver = bare_agent(rig)
    id_ = active(rig, shop, tenant, management_key=True)
    assert driver.specs[0].management_key == own_key(str(rig.folder))
    ask(tenant, id_)
    # Nobody answers there: the agent goes on trying until the request ends.
    eventually(lambda: "SSH" in (rig.instance(id_) or instance(Stage.BOUND)).last_error)
    assert last(tenant, id_)["state"] == "claimed"

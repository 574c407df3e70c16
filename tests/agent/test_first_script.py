"""First scripts, over a real platform and a fake cloud: run once before the machine is handed over, log sealed.

The agent dies at every step of one once; the platform sees nothing of what the script said.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from decent_cloud.agent import steps
from decent_cloud.agent.records import Stage
from decent_cloud.domain.keys.first_scripts import script_hash
from decent_cloud.drivers.fake.script import Fault, Verb
from decent_cloud.kernel.status import ScriptOutcome
from tests.agent.rig import Rig, eventually, running
from tests.agent.test_crash import Killer, run_until_dead
from tests.support.kept import kept_by_file, kept_in
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop
from tests.support.platform import Platform
from tests.support.secrets import opened, script_log

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

TEXT = "#!/bin/sh\necho hello\n"
CANARY = "canary-first-script-83b1"


def ordered(shop: Shop, tenant: Person, **changes: object) -> str:
    return str(rent(tenant, publish(shop, first_script=TEXT, **changes))["id"])


def ran(rig: Rig, contract: str) -> tuple[str, ...]:
    (machine,) = rig.backend.machines(contract)
    return rig.backend.first_runs(machine.id)


def test_it_runs_before_the_machine_is_handed_over_and_only_the_tenant_reads_its_log(
    rig: Rig, shop: Shop, tenant: Person, platform: Platform
) -> None:
    rig.backend.change(first_ms=700, first_exit=3, first_output=CANARY)
    with running(rig):
        id_ = ordered(shop, tenant)
        eventually(lambda: rig.backend.calls(Verb.RUN, id_))
        until(tenant, id_, "provisioning")
        assert tenant.api.get(f"/contracts/{id_}/log").status_code == 404
        until(tenant, id_, "active", timeout_s=20)
        log = script_log(tenant, shop, id_).log
        assert (log.outcome, log.exit_code) == (ScriptOutcome.EXITED, 3)
        assert log.output == CANARY.encode()
        assert log.script == script_hash(TEXT)
        assert ran(rig, id_) == (script_hash(TEXT),)
        assert opened(tenant, shop, id_).subject.number == 1
        for stranger in (shop.owner.api, shop.agent):
            assert stranger.get(f"/contracts/{id_}/log").status_code == 403
        rig.reaches(id_, Stage.BOUND)
        found = rig.instance(id_)
        assert found is not None
        assert found.first is None
    assert CANARY.encode() not in kept_in(Path(platform.server.settings.data))
    assert all(
        CANARY.encode() not in kept
        for name, kept in kept_by_file(rig.folder).items()
        if not name.startswith("cloud.db")  # the fake cloud was told what to say
    )


@pytest.mark.parametrize("step", steps.FIRST_PATH)
def test_a_crash_at_any_step_runs_it_once_and_delivers_machine_and_log(
    rig: Rig, shop: Shop, tenant: Person, step: str
) -> None:
    rig.backend.change(first_exit=1, first_output="said")
    id_ = ordered(shop, tenant)
    until(tenant, id_, "accepted", "provisioning")
    run_until_dead(rig, Killer(step))
    with running(rig) as agent:
        until(tenant, id_, "active", timeout_s=20)
        assert ran(rig, id_) == (script_hash(TEXT),)
        assert script_log(tenant, shop, id_).log.output == b"said"
        assert len(rig.backend.machines(id_)) == 1
        eventually(lambda: not agent.work.journal.reports())
        assert agent.work.journal.quarantined() == ()


@pytest.mark.parametrize("step", [steps.FIRST_LOG_JOURNALLED, steps.REPORT_SENT, None])
def test_a_machine_whose_script_failed_is_not_handed_over_where_the_terms_say_so(
    rig: Rig, shop: Shop, tenant: Person, step: str | None
) -> None:
    rig.backend.change(first_exit=9, first_output="no such package")
    id_ = ordered(shop, tenant, first_script_on_failure="fail")
    until(tenant, id_, "accepted", "provisioning")
    if step is not None:
        run_until_dead(rig, Killer(step))
    with running(rig):
        assert until(tenant, id_, "failed", timeout_s=20)["credential_n"] == 0
        assert script_log(tenant, shop, id_).log.exit_code == 9
        eventually(lambda: not rig.backend.machines(id_))
        history = tenant.api.get(f"/contracts/{id_}/history").json()["items"]
        assert history[-1]["reason"] == "script_failed"


def test_one_that_went_well_is_handed_over_under_the_same_terms(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = ordered(shop, tenant, first_script_on_failure="fail")
        until(tenant, id_, "active", timeout_s=20)
        assert script_log(tenant, shop, id_).log.succeeded


@pytest.mark.parametrize("fault", [Fault.TRY_LATER, Fault.ANSWER_LOST, Fault.BROKEN])
def test_a_backend_that_stumbles_is_asked_again(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault
) -> None:
    rig.backend.fail_next(Verb.RUN, fault, times=2)
    with running(rig):
        id_ = ordered(shop, tenant)
        until(tenant, id_, "active", timeout_s=20)
        assert script_log(tenant, shop, id_).log.succeeded
        assert ran(rig, id_) == (script_hash(TEXT),)


def test_what_cannot_be_run_is_said_in_the_log(rig: Rig, shop: Shop, tenant: Person) -> None:
    rig.backend.fail_next(Verb.RUN, Fault.REJECTED)
    with running(rig):
        id_ = ordered(shop, tenant)
        until(tenant, id_, "active", timeout_s=20)
        log = script_log(tenant, shop, id_).log
        assert log.outcome is ScriptOutcome.NOT_RUN
        assert "refuses" in log.detail


def test_a_contract_without_one_has_no_log(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = str(rent(tenant, publish(shop))["id"])
        until(tenant, id_, "active", timeout_s=20)
        assert rig.backend.calls(Verb.RUN) == ()
        answer = tenant.api.get(f"/contracts/{id_}/log")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert shop.agent.get(f"/assignments/{id_}/first-script").status_code == 404


def test_an_offering_that_changed_since_the_order_still_runs_what_was_ordered(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    offering = publish(shop, first_script=TEXT)
    id_ = str(rent(tenant, offering)["id"])
    until(tenant, id_, "accepted")
    names = [
        "title",
        "kind",
        "pool",
        "image",
        "cpu_milli",
        "memory_mib",
        "disk_gib",
        "country",
        "stock",
    ]
    price = offering["price_per_hour"]
    draft = {name: offering[name] for name in names} | {
        "asset": price["asset"],
        "price_minor_per_hour": price["amount_minor"],
        "first_script": "#!/bin/sh\necho other\n",
    }
    assert shop.owner.api.put(f"/offerings/{offering['id']}", draft).status_code == 200
    with running(rig):
        until(tenant, id_, "active", timeout_s=20)
        assert ran(rig, id_) == (script_hash(TEXT),)
        assert script_log(tenant, shop, id_).log.script == script_hash(TEXT)

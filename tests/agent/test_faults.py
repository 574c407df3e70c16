"""Backends fail in every way they can; there is one machine or none, and the platform is told which."""

from __future__ import annotations

import socket

import pytest

from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.records import Stage
from decent_cloud.drivers.fake.script import Fault, Verb
from tests.agent.rig import Rig, eventually, running
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop

pytestmark = pytest.mark.slow


def test_a_lost_create_answer_makes_no_second_machine(rig: Rig, shop: Shop, tenant: Person) -> None:
    rig.backend.change(unique_names=False)
    rig.backend.fail_next(Verb.CREATE, Fault.ANSWER_LOST)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        assert len(rig.backend.machines(id_)) == 1
        assert len(rig.backend.calls(Verb.CREATE, id_)) == 1


def test_a_slow_list_makes_no_second_machine(rig: Rig, shop: Shop, tenant: Person) -> None:
    rig.backend.change(unique_names=False, list_lag_ms=600, inspect_lag_ms=300)
    rig.changed["read_lag_ms"] = 1_500
    rig.backend.fail_next(Verb.CREATE, Fault.ANSWER_LOST)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active", timeout_s=20)
        assert len(rig.backend.machines(id_)) == 1
        assert len(rig.backend.calls(Verb.CREATE, id_)) == 1


@pytest.mark.parametrize("fault", [Fault.TRY_LATER, Fault.BROKEN])
def test_a_create_that_did_not_happen_is_made_after_a_look(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault
) -> None:
    rig.backend.fail_next(Verb.CREATE, fault, 2)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active", timeout_s=20)
        assert len(rig.backend.machines(id_)) == 1
        assert len(rig.backend.calls(Verb.CREATE, id_)) == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.REJECTED, "rejected"),
        (Fault.NO_CAPACITY, "no_capacity"),
        (Fault.AUTH_FAILED, "auth_failed"),
    ],
)
def test_a_refusal_is_told_and_the_money_goes_back(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault, reason: str
) -> None:
    rig.backend.fail_next(Verb.CREATE, fault)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        failed = until(tenant, id_, "failed")
        assert failed["end_reason"] == reason
        assert rig.backend.machines(id_) == ()
        rig.reaches(id_, Stage.ENDED)
        assert len(rig.backend.calls(Verb.CREATE, id_)) == 1


def test_an_exhausted_port_range_is_told_in_clear_words(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    rig.ports = (21_500, 21_500)
    offering = publish(shop)
    with running(rig):
        first = rent(tenant, offering)["id"]
        until(tenant, first, "active")
        second = rent(tenant, offering)["id"]
        until(tenant, second, "failed")
        history = tenant.api.get(f"/contracts/{second}/history").json()["items"]
        assert any(
            "all ports from 21500 to 21500 are taken" in step["evidence"] for step in history
        )
        assert len(rig.backend.machines()) == 1


def test_a_port_that_another_program_holds_is_skipped(rig: Rig, shop: Shop, tenant: Person) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        taken = held.getsockname()[1]
        rig.ports = (taken, taken + 5)
        with running(rig):
            id_ = rent(tenant, publish(shop))["id"]
            assert until(tenant, id_, "active")["port"] > taken


def test_a_second_machine_of_our_own_is_stopped_and_removed_with_the_first(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    """A cloud without unique names that shows a machine very late can make us make two."""
    rig.ports = None
    with running(rig) as agent:
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        columns = "name, platform, contract, attempt, image, host, port, host_key, ssh_keys"
        more = "password_hash, stopped, created_at_ms, deleted_at_ms"
        with rig.backend.transaction() as db:
            db.execute(
                f"INSERT INTO instances ({columns}, {more}) SELECT {columns}, {more} FROM instances"
            )
        eventually(lambda: [each.stopped for each in rig.backend.machines(id_)] == [False, True])
        assert len(agent.work.journal.quarantined()) == 1
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        eventually(lambda: not rig.backend.machines(id_))


def test_a_slow_boot_is_waited_for(rig: Rig, shop: Shop, tenant: Person) -> None:
    rig.backend.change(boot_ms=700)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        assert len(rig.backend.machines(id_)) == 1


def test_a_machine_with_an_address_of_its_own_is_handed_over(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    rig.ports = None
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        active = until(tenant, id_, "active")
        assert active["host"] == rig.backend.machines(id_)[0].host


@pytest.mark.parametrize("fault", [Fault.TRY_LATER, Fault.AUTH_FAILED, Fault.ANSWER_LOST])
def test_removal_is_tried_until_a_read_says_gone(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault
) -> None:
    rig.backend.change(gone_ms=300)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.backend.fail_next(Verb.DESTROY, fault, 1 if fault is Fault.ANSWER_LOST else 2)
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        rig.reaches(id_, Stage.ENDED, timeout_s=30)
        assert rig.backend.machines(id_) == ()


def test_emptiness_of_another_backend_proves_nothing(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        machine = rig.backend.machines(id_)[0]
        scope = rig.backend.scope()
        rig.backend.become("fake-elsewhere")
        rig.backend.vanish(machine.id)
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        rig.reaches(id_, Stage.DESTROYING)
        eventually(lambda: (rig.instance(id_) or pytest.fail("gone")).tries > 0)
        assert rig.stage(id_) is Stage.DESTROYING
        rig.backend.become(scope)
        instance = rig.instance(id_)
        assert instance is not None
        assert "another backend" in instance.last_error


def test_a_machine_that_vanished_is_told_after_a_second_look(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        rig.backend.vanish(rig.backend.machines(id_)[0].id)
        assert until(tenant, id_, "failed")["end_reason"] == "instance gone"
        rig.reaches(id_, Stage.ENDED)


def test_a_backend_that_cannot_be_read_loses_nothing(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        before = len(rig.backend.calls(Verb.LIST))
        rig.backend.fail_next(Verb.LIST, Fault.TRY_LATER, 2)
        rig.backend.fail_next(Verb.INSPECT, Fault.TRY_LATER, 2)
        eventually(lambda: len(rig.backend.calls(Verb.LIST)) > before + 2)
        assert rig.stage(id_) is Stage.BOUND
        assert rig.backend.calls(Verb.DESTROY) == ()


def test_a_stopped_machine_is_started_again(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.reaches(id_, Stage.BOUND)
        instance = rig.instance(id_)
        assert instance is not None
        assert instance.handle is not None
        assert rig.agent is not None
        rig.agent.backend.driver.stop(instance.handle, instance.contract)  # type: ignore[attr-defined]
        eventually(lambda: not rig.backend.machines(id_)[0].stopped)
        assert len(rig.backend.calls(Verb.START, id_)) == 1


def test_a_machine_nobody_ordered_is_set_aside_and_kept(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    stray_contract = "c" + "7" * 26
    with running(rig) as agent:
        stray = rig.backend.add_foreign("stray", agent.work.platform_id, stray_contract)
        eventually(lambda: agent.work.journal.quarantined())
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        assert [each.contract for each in agent.work.journal.quarantined()] == [stray_contract]
        assert len(rig.backend.machines(stray_contract)) == 1
        rig.backend.vanish(stray.id)
        eventually(lambda: not agent.work.journal.quarantined())
        assert agent.work.journal.alarms() == ()


def test_a_tagged_machine_with_unknown_secrets_is_never_handed_over(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    rig.backend.change(unique_names=False)
    rig.backend.fail_next(Verb.CREATE, Fault.TRY_LATER)
    rig.changed["read_lag_ms"] = 3_000
    with running(rig) as agent:
        id_ = rent(tenant, publish(shop))["id"]
        eventually(lambda: rig.backend.calls(Verb.CREATE, id_))
        rig.backend.add_foreign("unknown", agent.work.platform_id, id_)
        failed = until(tenant, id_, "failed")
        assert failed["end_reason"] == "unknown_resource"
        assert agent.work.journal.quarantined()[0].contract == id_


def test_trouble_with_one_contract_holds_up_no_other(rig: Rig, shop: Shop, tenant: Person) -> None:
    offering = publish(shop)
    with running(rig):
        rig.backend.fail_next(Verb.CREATE, Fault.TRY_LATER, 3)
        first = rent(tenant, offering)["id"]
        eventually(lambda: rig.backend.calls(Verb.CREATE, first))
        rig.backend.change(before_ms={"inspect": 0})
        others = [rent(tenant, offering)["id"] for _ in range(3)]
        for id_ in [*others, first]:
            until(tenant, id_, "active", timeout_s=30)
        assert len(rig.backend.machines()) == 4


def test_a_cancel_while_the_create_runs_leaves_nothing(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    rig.backend.change(before_ms={"create": 500}, after_ms={"create": 300})
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        eventually(lambda: rig.backend.calls(Verb.CREATE, id_))
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": "changed my mind"}).is_success
        rig.reaches(id_, Stage.ENDED, timeout_s=20)
        assert rig.backend.machines(id_) == ()
        assert len(rig.backend.machines(id_, deleted=True)) == 1


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.TRY_LATER])
def test_a_cancel_after_a_doubtful_create_leaves_nothing(
    rig: Rig, shop: Shop, tenant: Person, fault: Fault
) -> None:
    rig.backend.change(unique_names=False, list_lag_ms=400)
    rig.changed["read_lag_ms"] = 1_000
    rig.backend.fail_next(Verb.CREATE, fault)
    with running(rig):
        id_ = rent(tenant, publish(shop))["id"]
        eventually(lambda: rig.backend.calls(Verb.CREATE, id_))
        assert tenant.api.post(f"/contracts/{id_}/cancel", {"reason": ""}).is_success
        rig.reaches(id_, Stage.ENDED, timeout_s=20)
        assert rig.backend.machines(id_) == ()


def test_with_a_full_disk_nothing_is_begun_and_nothing_is_lost(
    rig: Rig, shop: Shop, tenant: Person
) -> None:
    offering = publish(shop)
    with running(rig) as agent:
        first = rent(tenant, offering)["id"]
        until(tenant, first, "active")
        rig.reaches(first, Stage.BOUND)
        journal = agent.work.journal
        assert isinstance(journal, SqliteJournal)
        limit(journal, 0)
        second = rent(tenant, offering)["id"]
        until(tenant, second, "accepted", "provisioning")
        eventually(lambda: "journal_full" in {alarm.name for alarm in journal.alarms()})
        assert rig.backend.calls(Verb.CREATE, second) == ()
        assert len(rig.backend.machines(first)) == 1
        limit(journal, 10_000)
        until(tenant, second, "active", timeout_s=30)
        assert len(rig.backend.machines()) == 2


def limit(journal: SqliteJournal, more: int) -> None:
    """Let the journal grow by so many pages, and no further."""
    with journal._lock:
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count={pages + more}")

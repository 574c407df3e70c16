"""Machines with our tag that are nobody's: stopped and shown, and removed by their provider's word only."""

from __future__ import annotations

import time
from typing import Any

import pytest

from decent_cloud.drivers.fake.script import Verb
from tests.agent.rig import Rig, eventually, running
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop

pytestmark = pytest.mark.slow

STRAY = "c" + "7" * 26


def asides(shop: Shop) -> list[dict[str, Any]]:
    answer = shop.owner.api.get(f"/providers/{shop.owner.id}/quarantine")
    assert answer.is_success, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def say(shop: Shop, one: dict[str, Any], word: str) -> dict[str, Any]:
    body = {"agent": one["agent"], "instance": one["instance"], "word": word}
    answer = shop.owner.api.post(f"/providers/{shop.owner.id}/quarantine", body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def quick(rig: Rig, grace_s: int = 0) -> Rig:
    rig.changed.update(heartbeat_s=1, quarantine_grace_s=grace_s)
    return rig


def test_what_no_contract_is_behind_is_stopped_shown_and_kept(rig: Rig, shop: Shop) -> None:
    with running(quick(rig)) as agent:
        rig.backend.add_foreign("stray", agent.work.platform_id, STRAY)
        (one,) = eventually(lambda: asides(shop))
        assert (one["contract"], one["contract_state"], one["word"]) == (STRAY, None, "stop")
        eventually(lambda: rig.backend.machines(STRAY)[0].stopped)
        shown = eventually(lambda: [x for x in asides(shop) if x["state"] == "stopped"])
        assert shown[0]["age_s"] >= 0
        assert shown[0]["cost"] is None  # no contract, no price
        rows = shop.owner.api.get(f"/providers/{shop.owner.id}/agent-status").json()["items"]
        assert rows[0]["asides"] == 1
        time.sleep(2)
        assert rig.backend.calls(Verb.DESTROY) == ()


def test_its_providers_word_removes_it_after_the_grace_period(rig: Rig, shop: Shop) -> None:
    with running(quick(rig, grace_s=6)) as agent:
        rig.backend.add_foreign("stray", agent.work.platform_id, STRAY)
        (one,) = eventually(lambda: asides(shop))
        first_ms = agent.work.journal.quarantined()[0].first_seen_ms
        assert say(shop, one, "delete")["word"] == "delete"
        eventually(lambda: rig.backend.calls(Verb.DESTROY))
        assert agent.work.now_ms() - first_ms >= 6_000
        eventually(lambda: not asides(shop))
        assert rig.backend.machines() == ()
        assert agent.work.journal.alarms() == ()


def test_a_release_leaves_it_as_it_is_and_takes_the_alarm_down(rig: Rig, shop: Shop) -> None:
    with running(quick(rig)) as agent:
        rig.backend.add_foreign("stray", agent.work.platform_id, STRAY)
        (one,) = eventually(lambda: asides(shop))
        assert agent.work.journal.alarms() != ()
        say(shop, one, "leave")
        eventually(lambda: not agent.work.journal.alarms())
        assert len(rig.backend.machines(STRAY)) == 1
        assert rig.backend.calls(Verb.DESTROY) == ()


def test_many_such_words_at_once_wait_for_a_person_at_the_agent(rig: Rig, shop: Shop) -> None:
    from decent_cloud.agent.breaker import ALARM_BREAKER, release

    strays = ["c" + digit * 26 for digit in "789"]
    with running(quick(rig)) as agent:
        for stray in strays:
            rig.backend.add_foreign(f"stray{stray[1]}", agent.work.platform_id, stray)
        eventually(lambda: len(asides(shop)) == len(strays))
        for one in asides(shop):
            say(shop, one, "delete")
        journal = agent.work.journal
        eventually(lambda: ALARM_BREAKER in {each.name for each in journal.alarms()})
        assert len(rig.backend.machines()) >= 1
        release(journal, agent.work.now_ms())
        eventually(lambda: not rig.backend.machines())


def test_a_machine_in_use_is_not_deleted_by_a_word(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(quick(rig)) as agent:
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active")
        rig.backend.change(unique_names=False)
        rig.backend.add_foreign("double", agent.work.platform_id, id_)
        (one,) = eventually(lambda: asides(shop))
        assert one["word"] == "none"  # its contract lives: the agent's own rules hold
        assert one["cost"] is not None
        say(shop, one, "delete")
        eventually(lambda: len(rig.backend.machines(id_)) == 1)
        assert until(tenant, id_, "active")["state"] == "active"
        body = {"agent": one["agent"], "instance": "another", "word": "delete"}
        answer = shop.owner.api.post(f"/providers/{shop.owner.id}/quarantine", body)
        assert answer.status_code == 404


def test_nobody_else_sees_or_decides(rig: Rig, shop: Shop, tenant: Person) -> None:
    path = f"/providers/{shop.owner.id}/quarantine"
    assert tenant.api.get(path).status_code == 404
    body = {"agent": "a", "instance": "b", "word": "delete"}
    assert tenant.api.post(path, body).status_code == 404
    assert rig.agent is None


def test_the_heartbeat_carries_what_the_host_has(rig: Rig, shop: Shop, tenant: Person) -> None:
    with running(quick(rig)):
        until(tenant, rent(tenant, publish(shop))["id"], "active")
        path = f"/providers/{shop.owner.id}/agent-status"
        (row,) = eventually(
            lambda: [one for one in shop.owner.api.get(path).json()["items"] if one["running"] == 1]
        )
        assert row["free"] == 99  # of the range 21000-21099
        assert row["driver_version"]
        assert "cores" in row["host"]

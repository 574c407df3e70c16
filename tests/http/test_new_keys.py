"""New SSH keys over HTTP: what the tenant sends, and what agents of either age are shown of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from decent_cloud.domain.keys import b64u
from tests.support.key_lists import list_body, ssh_line
from tests.support.market import deliver, publish, rent
from tests.support.people import Person, Shop, new_person
from tests.support.platform import Platform


@pytest.fixture
def contract(shop: Shop, bob: Person) -> dict[str, Any]:
    """Give a machine that is bob's."""
    ordered = rent(bob, publish(shop))
    deliver(shop, bob, ordered)
    return ordered


def assignment(shop: Shop, contract: dict[str, Any]) -> dict[str, Any]:
    payload = shop.agent.get("/agents/me/desired", since=0).json()["payload"]
    found = json.loads(b64u.decode(payload))["assignments"]
    return next(one for one in found if one["contract"] == contract["id"])


def pending(shop: Shop, what: str) -> list[str]:
    answer = shop.agent.get(f"/providers/{shop.owner.id}/contracts/pending-{what}")
    assert answer.status_code == 200, answer.text
    return [one["contract"] for one in answer.json()["items"]]


def test_an_agent_that_knows_passwords_only_never_sees_new_keys(
    shop: Shop, bob: Person, contract: dict[str, Any]
) -> None:
    assert assignment(shop, contract)["key_list"] is None
    body = list_body(bob, contract["digest"], 1, ssh_line(1))
    asked = bob.api.post(f"/contracts/{contract['id']}/ssh-keys", body)
    assert asked.status_code == 201, asked.text
    shown = assignment(shop, contract)
    assert (shown["reset"], shown["keys_reset"]) == ("", asked.json()["id"])
    assert shown["key_list"] == body["statement"]
    assert contract["id"] in pending(shop, "ssh-keys")
    assert contract["id"] not in pending(shop, "password-reset")
    report = {"outcome": "claimed", "scope": "fake:scope", "reset": asked.json()["id"]}
    path = f"/provider/rental-requests/{contract['id']}"
    assert shop.agent.put(f"{path}/password", report).status_code == 404
    assert shop.agent.put(f"{path}/ssh-keys", report).json()["state"] == "claimed"


def test_refusals_say_which_rule_was_broken(
    shop: Shop, bob: Person, contract: dict[str, Any], platform: Platform
) -> None:
    path = f"/contracts/{contract['id']}/ssh-keys"
    good = list_body(bob, contract["digest"], 1, ssh_line(1))
    foreign = list_body(bob, "ab" * 32, 1, ssh_line(1))
    stolen = list_body(bob, contract["digest"], 1, ssh_line(1), by=new_person(platform.url).keys)
    for body, status, code in (
        ({"statement": {"p": "AAAA", "s": good["statement"]["s"]}}, 400, "bad_signature"),
        (foreign, 400, "bad_shape"),
        (stolen, 400, "wrong_signer"),
    ):
        answer = bob.api.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert bob.api.post(path, good).status_code == 201
    stale = bob.api.post(path, list_body(bob, contract["digest"], 1, ssh_line(2)))
    assert (stale.status_code, stale.json()["code"]) == (409, "key_list_stale")
    assert shop.owner.api.post(path, good).status_code == 403

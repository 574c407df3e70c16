"""Orders that must not be: each is a clear error, and nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.domain.keys.orders import sign_order
from tests.support.market import (
    DRAFT,
    order_body,
    order_for,
    publish,
    rent,
    unchecked_order_body,
    with_changes,
)
from tests.support.people import Person, Shop, new_keys
from tests.support.platform import Platform

Change = Callable[[dict[str, Any]], dict[str, Any]]


def _stock(shop: Shop, offering: dict[str, Any]) -> int:
    found: int = shop.owner.api.get(f"/offerings/{offering['id']}").json()["available"]
    return found


def _refused(ada: Person, shop: Shop, offering: dict[str, Any], body: Any) -> dict[str, Any]:
    """Send an order that must be refused, and check that it left no trace."""
    before = _stock(shop, offering)
    answer = ada.api.post("/contracts", body)
    assert answer.status_code in {400, 403, 404, 409}, answer.text
    assert ada.api.get("/contracts").json()["items"] == []
    assert _stock(shop, offering) == before
    problem: dict[str, Any] = answer.json()
    assert len(problem["detail"]) > 20
    return problem


@pytest.mark.parametrize("hours", [0, 10**9, "2"])
def test_hours_out_of_this_world(ada: Person, shop: Shop, hours: object) -> None:
    offering = publish(shop)
    body = unchecked_order_body(order_for(ada, offering), ada.keys, hours=hours)
    assert "hours" in _refused(ada, shop, offering, body)["detail"]


def test_hours_beyond_the_offerings_range(ada: Person, shop: Shop) -> None:
    offering = publish(shop, min_hours=2, max_hours=10)
    for hours in (1, 11):
        body = order_body(order_for(ada, offering, hours), ada.keys)
        problem = _refused(ada, shop, offering, body)
        assert problem["code"] == "not_rentable"
        assert "2 to 10 hours" in problem["detail"]


def test_a_price_that_is_not_the_offerings(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    order = with_changes(order_for(ada, offering), total_amount_minor=19)
    problem = _refused(ada, shop, offering, order_body(order, ada.keys))
    assert problem["code"] == "price_changed"


def test_an_offer_that_changed_since(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    order = with_changes(order_for(ada, offering), offer_digest="ab" * 32)
    problem = _refused(ada, shop, offering, order_body(order, ada.keys))
    assert problem["code"] == "offer_changed"


def test_a_private_offering_is_not_there_for_others(ada: Person, bob: Person, shop: Shop) -> None:
    offering = publish(shop, visibility="private", allowed_accounts=[bob.id])
    assert ada.api.get(f"/offerings/{offering['id']}").status_code == 404
    items = ada.api.get("/offerings", provider=shop.owner.id).json()["items"]
    assert items == []
    problem = _refused(ada, shop, offering, order_body(order_for(ada, offering), ada.keys))
    assert problem["code"] == "not_found"


def test_a_shared_offering_is_there_for_those_it_is_shared_with(
    ada: Person, bob: Person, shop: Shop
) -> None:
    offering = publish(shop, visibility="shared", allowed_accounts=[bob.id])
    assert ada.api.get(f"/offerings/{offering['id']}").status_code == 404
    seen = bob.api.get(f"/offerings/{offering['id']}").json()
    assert seen["rentable"]
    assert seen["allowed_accounts"] is None
    assert bob.api.get(f"/accounts/{shop.owner.id}/chain").status_code == 200
    assert rent(bob, offering)["state"] == "requested"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "hello",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        'command="rm -rf /" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS',
        "ssh-dss AAAAB3NzaC1kc3MAAACBA",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPK\nssh-rsa AAAA",
    ],
)
def test_a_malformed_ssh_key(ada: Person, shop: Shop, key: str) -> None:
    offering = publish(shop)
    order = with_changes(order_for(ada, offering), ssh_keys=(key,))
    problem = _refused(ada, shop, offering, unchecked_order_body(order, ada.keys))
    assert problem["code"] in {"bad_ssh_key", "invalid", "bad_shape"}


def test_no_ssh_key_at_all(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    order = with_changes(order_for(ada, offering), ssh_keys=())
    problem = _refused(ada, shop, offering, unchecked_order_body(order, ada.keys))
    assert "SSH key" in problem["detail"] or "ssh_keys" in problem["detail"]


def test_an_agent_signs_no_order(shop: Shop) -> None:
    """Neither by its request nor by its signature under an order that a device sends."""
    offering = publish(shop)
    order = with_changes(order_for(shop.owner, offering), total_amount_minor=0)
    body = {"order": sign_order(order, shop.agent_keys).to_json()}
    by_agent = shop.agent.post("/contracts", body)
    assert by_agent.status_code == 403
    assert by_agent.json()["code"] == "device_only"
    by_device = shop.owner.api.post("/contracts", body)
    assert by_device.status_code == 403
    assert by_device.json()["code"] == "agent_cannot_order"
    assert shop.owner.api.get("/contracts").json()["items"] == []


def test_a_reading_device_signs_no_order(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    reader = new_keys()
    assert ada.add_device(reader, DeviceType.PHONE, 2).status_code == 201
    problem = _refused(ada, shop, offering, order_body(order_for(ada, offering), reader))
    assert problem["code"] == "wrong_signer"


def test_an_order_of_another_account(ada: Person, bob: Person, shop: Shop) -> None:
    offering = publish(shop)
    body = order_body(order_for(bob, offering), bob.keys)
    problem = _refused(ada, shop, offering, body)
    assert problem["code"] in {"wrong_signer", "wrong_account"}


def test_an_order_for_another_provider(ada: Person, bob: Person, shop: Shop) -> None:
    offering = publish(shop)
    order = with_changes(order_for(ada, offering), provider=bob.id)
    problem = _refused(ada, shop, offering, order_body(order, ada.keys))
    assert problem["errors"][0]["field"] == "order.provider"


def test_an_order_that_ran_out(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    order = with_changes(order_for(ada, offering), not_after_s=1_700_000_000)
    problem = _refused(ada, shop, offering, order_body(order, ada.keys))
    assert problem["code"] == "order_too_late"


def test_an_order_whose_bytes_were_changed(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    body = order_body(order_for(ada, offering, 2), ada.keys)
    other = order_body(order_for(ada, offering, 3), ada.keys)
    body["order"]["p"] = other["order"]["p"]
    problem = _refused(ada, shop, offering, body)
    assert problem["code"] == "bad_signature"


@pytest.mark.parametrize(
    "pay",
    [
        None,
        {"method": "gold"},
        {"method": "credit"},
        {"method": "prepaid"},
        {"method": "sandbox", "card": "x" * 41},
        {"method": "sandbox", "card": "test-ok", "cvc": "123"},
    ],
)
def test_a_way_of_paying_that_does_not_work(ada: Person, shop: Shop, pay: object) -> None:
    offering = publish(shop)
    body = {**order_body(order_for(ada, offering), ada.keys), "pay": pay}
    _refused(ada, shop, offering, body)


def test_a_third_unpaid_order(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    for _ in range(2):
        body = order_body(order_for(ada, offering), ada.keys, card="test-never")
        assert ada.api.post("/contracts", body).status_code == 201
    third = ada.api.post("/contracts", order_body(order_for(ada, offering), ada.keys))
    assert third.status_code == 409
    assert third.json()["code"] == "too_many_unpaid"


def test_the_last_unit_is_sold_once(ada: Person, bob: Person, shop: Shop) -> None:
    offering = publish(shop, stock=1)
    rent(ada, offering)
    late = bob.api.post("/contracts", order_body(order_for(bob, offering), bob.keys))
    assert late.status_code == 409
    assert "sold out" in late.json()["detail"]


def test_an_offering_whose_agents_are_silent(ada: Person, platform: Platform, shop: Shop) -> None:
    offering = publish(shop)
    found = platform.read(lambda uow: uow.providers.presence(shop.owner.id, shop.agent_keys.kid))
    assert found is not None
    platform.write(lambda uow: uow.providers.put_presence(_silent(found)))
    assert not ada.api.get(f"/offerings/{offering['id']}").json()["rentable"]
    problem = _refused(ada, shop, offering, order_body(order_for(ada, offering), ada.keys))
    assert "no agent" in problem["detail"]


def test_the_wrong_side_of_a_contract(ada: Person, bob: Person, shop: Shop) -> None:
    contract = rent(ada, publish(shop))
    path = f"/contracts/{contract['id']}"
    assert bob.api.get(path).status_code == 404
    assert bob.api.post(f"{path}/cancel", {}).status_code == 404
    for person, verb in ((shop.owner, "cancel"), (ada, "terminate")):
        answer = person.api.post(f"{path}/{verb}", {})
        assert answer.status_code == 403
        assert answer.json()["code"] == "not_your_side"
    assert shop.owner.api.post(f"{path}/confirm").json()["code"] == "not_your_side"
    assert ada.api.get(path).json()["state"] != "cancelled"


def test_offerings_and_pools_of_another_provider(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    ada.api.post("/providers", {"name": "Ada"})
    draft = {**DRAFT, "pool": shop.pool}
    assert ada.api.post("/offerings", draft).json()["errors"][0]["field"] == "pool"
    assert ada.api.put(f"/offerings/{offering['id']}", draft).status_code == 404
    assert ada.api.post(f"/offerings/{offering['id']}/withdraw").status_code == 404
    assert ada.api.get(f"/providers/{shop.owner.id}/offerings").status_code == 404
    assert ada.api.get(f"/providers/{shop.owner.id}/agent-status").status_code == 404


def _silent(found: Any) -> Any:
    return type(found)(
        provider=found.provider,
        agent=found.agent,
        pool=found.pool,
        last_seen_ms=1,
        agent_version=found.agent_version,
        driver=found.driver,
        scope=found.scope,
        instances=0,
    )

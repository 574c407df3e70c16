"""The provider's side: profile, pools, pairing, delegations and what it may do with a contract."""

from __future__ import annotations

import secrets

from decent_cloud.domain.keys.orders import sign_order
from decent_cloud.domain.keys.pairing import code_from_random
from tests.support.market import (
    deliver,
    heartbeat,
    order_body,
    order_for,
    publish,
    rent,
    until,
    with_changes,
)
from tests.support.people import ALL_PERMISSIONS, Api, Person, Shop, delegate


def test_a_profile_is_public_once_something_public_is_on_offer(shop: Shop, nobody: Api) -> None:
    path = f"/providers/{shop.owner.id}"
    assert nobody.get(path).status_code == 404
    offering = publish(shop)
    assert nobody.get(path).json()["name"] == "Shop"
    assert nobody.get(f"/accounts/{shop.owner.id}/chain").status_code == 401
    withdrawn = shop.owner.api.post(f"/offerings/{offering['id']}/withdraw")
    assert withdrawn.json()["state"] == "withdrawn"
    assert nobody.get(path).status_code == 404


def test_pools_and_delegations_are_listed_for_their_provider(shop: Shop) -> None:
    pools = shop.owner.api.get("/pools").json()["items"]
    assert [(pool["name"], pool["driver"]) for pool in pools] == [("main", "fake")]
    assert shop.agent.get("/pools").json()["items"] == pools
    path = f"/providers/{shop.owner.id}/agent-delegations"
    [found] = shop.owner.api.get(path).json()["items"]
    assert found["agent_pubkey"] == shop.agent_keys.sig.hex()
    assert found["permissions"] == list(ALL_PERMISSIONS)
    assert found["label"] == "rack 1"
    replayed = delegate(shop, ALL_PERMISSIONS)
    assert replayed.json()["code"] == "wrong_sequence"
    assert delegate(shop, ("heartbeat",), prev=found["digest"]).status_code == 201
    assert shop.agent.get("/agents/me/desired").json()["code"] == "agent_not_allowed"


def test_an_agent_is_shown_as_it_was_last_heard(shop: Shop) -> None:
    path = f"/providers/{shop.owner.id}/agent-status"
    [silent] = shop.owner.api.get(path).json()["items"]
    assert (silent["status"], silent["last_seen_at"]) == ("offline", None)
    assert heartbeat(shop).json()["status"] == "online"
    [heard] = shop.owner.api.get(path).json()["items"]
    assert (heard["status"], heard["version"], heard["driver"]) == ("online", "1", "fake")
    assert shop.agent.get("/agents/me").json()["pool"] == shop.pool


def test_an_agent_speaks_for_its_own_provider_only(shop: Shop, bob: Person) -> None:
    body = {"version": "1", "driver": "fake", "scope": "s", "instances": 0}
    assert shop.agent.post(f"/providers/{bob.id}/heartbeat", body).status_code == 403
    pending = shop.agent.get(f"/providers/{bob.id}/contracts/pending-provision")
    assert pending.status_code == 404


def test_a_pairing_passes_two_messages(shop: Shop, bob: Person, nobody: Api) -> None:
    rid = code_from_random(secrets.token_bytes(13)).rid
    old = {"message": "b2xk", "pool": shop.pool}
    assert nobody.get(f"/pair/{rid}").status_code == 404
    opened = shop.owner.api.put(f"/pair/{rid}/old", old)
    assert (opened.json()["old_message"], opened.json()["new_message"]) == ("b2xk", "")
    assert bob.api.put(f"/pair/{rid}/old", {**old, "pool": ""}).json()["code"] == "pairing_taken"
    chain = nobody.get(f"/pair/{rid}/chain").json()
    assert chain["account"] == shop.owner.id
    assert nobody.put(f"/pair/{rid}/new", {"message": "bmV3"}).status_code == 200
    other = nobody.put(f"/pair/{rid}/new", {"message": "b3RoZXI"})
    assert other.json()["code"] == "pairing_joined"
    assert shop.owner.api.get(f"/pair/{rid}").json()["new_message"] == "bmV3"
    assert nobody.get("/pair/ABC").json()["errors"][0]["field"] == "rid"


def test_orders_that_need_a_yes_are_accepted_or_rejected(ada: Person, shop: Shop) -> None:
    offering = publish(shop, accept_mode="manual")
    for verb, body, state in (
        ("accept", None, "accepted"),
        ("reject", {"reason": "no"}, "rejected"),
    ):
        contract = rent(ada, offering)
        until(ada, contract["id"], "pending")
        path = f"/contracts/{contract['id']}/{verb}"
        assert ada.api.post(path, body).json()["code"] == "not_your_side"
        assert shop.owner.api.post(path, body).json()["state"] == state
        assert contract["waits_for"] == "tenant"


def test_a_machine_is_confirmed_extended_and_terminated(ada: Person, shop: Shop) -> None:
    offering = publish(shop, penalty_ppm=100_000)
    contract = deliver(shop, ada, rent(ada, offering))
    path = f"/contracts/{contract['id']}"
    late = ada.api.post(f"{path}/confirm")
    assert late.status_code == 409
    assert late.json()["code"] == "illegal_transition"
    order = with_changes(order_for(ada, offering, 3), extends=contract["digest"])
    extended = ada.api.post(f"{path}/extend", order_body(order, ada.keys))
    assert extended.status_code == 200, extended.text
    assert [term["hours"] for term in extended.json()["terms"]] == [2, 3]
    ended = shop.owner.api.post(f"{path}/terminate", {"reason": "the machine is needed"})
    assert ended.json()["state"] == "cancelled"
    assert ended.json()["end_reason"] == "the machine is needed"
    owned = shop.owner.api.get("/accounts/me/balances").json()["balances"]
    assert all(one["balance"]["asset"] == "USD" for one in owned)


def test_renting_ones_own_machine_costs_nothing(shop: Shop) -> None:
    offering = publish(shop)
    order = with_changes(order_for(shop.owner, offering), total_amount_minor=0)
    body = {"order": sign_order(order, shop.owner.keys).to_json()}
    made = shop.owner.api.post("/contracts", body)
    assert made.status_code == 201, made.text
    assert made.json()["self_rental"]
    assert made.json()["payments"] == []
    assert made.json()["state"] == "accepted"


def test_a_changed_draft_must_be_published_anew(shop: Shop) -> None:
    offering = publish(shop)
    draft = {**_draft(offering, shop), "stock": 7}
    kept = shop.owner.api.put(f"/offerings/{offering['id']}", draft).json()
    assert (kept["state"], kept["stock"]) == ("published", 7)
    dearer = {**draft, "price_minor_per_hour": "11"}
    changed = shop.owner.api.put(f"/offerings/{offering['id']}", dearer).json()
    assert changed["state"] == "draft"
    assert changed["not_rentable_because"] == "draft"


def _draft(offering: dict[str, object], shop: Shop) -> dict[str, object]:
    names = ("title", "kind", "image", "cpu_milli", "memory_mib", "disk_gib", "country", "stock")
    price = offering["price_per_hour"]
    assert isinstance(price, dict)
    return {
        **{name: offering[name] for name in names},
        "pool": shop.pool,
        "asset": price["asset"],
        "price_minor_per_hour": price["amount_minor"],
    }


def test_boxes_open_the_account_for_the_asking_device_only(ada: Person) -> None:
    boxes = ada.api.get("/accounts/me/boxes").json()
    assert [box["kid"] for box in boxes["boxes"]] == [ada.keys.kid]
    assert boxes["old_seeds"] == {}

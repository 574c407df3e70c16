"""A rental over the API, from the signed order to the refund of what was not used."""

from __future__ import annotations

import json
import time
from typing import Any

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.platform import DESIRED, verify_platform
from tests.support.market import (
    deliver,
    lease,
    order_body,
    order_for,
    provisioned,
    publish,
    rent,
    until,
)
from tests.support.people import Api, Person, Shop
from tests.support.platform import Platform


def test_a_machine_is_rented_and_the_rest_of_the_money_comes_back(
    ada: Person, shop: Shop, platform: Platform, nobody: Api
) -> None:
    offering = publish(shop)
    assert nobody.get("/offerings", provider=shop.owner.id).json()["items"][0]["rentable"]
    contract = rent(ada, offering)
    assert contract["state"] == "requested"
    active = deliver(shop, ada, contract)
    assert active["terms"][0]["held"] == {"amount_minor": "20", "asset": "USD"}
    credential = ada.api.get(f"/contracts/{contract['id']}/credential").json()
    assert credential["credential"]["n"] == 1
    assert shop.owner.api.get(f"/contracts/{contract['id']}/credential").status_code == 403
    ended = ada.api.post(f"/contracts/{contract['id']}/cancel", {"reason": "done"})
    assert ended.status_code == 200, ended.text
    assert ended.json()["state"] == "cancelled"
    refunds = _refunds_confirmed(ada, contract["id"])
    assert int(refunds[0]["amount"]["amount_minor"]) in {19, 20}
    events = [
        e["event"] for e in ada.api.get(f"/contracts/{contract['id']}/history").json()["items"]
    ]
    assert events == [
        "ordered", "settled", "create_started", "provisioned", "reached", "cancelled",
    ]  # fmt: skip
    items = ada.api.get("/contracts").json()["items"]
    assert [one["id"] for one in items] == [contract["id"]]
    provided = shop.owner.api.get("/contracts", role="provider", state="cancelled,failed").json()
    assert [one["id"] for one in provided["items"]] == [contract["id"]]


def test_desired_state_is_signed_by_the_platform(ada: Person, shop: Shop, nobody: Api) -> None:
    contract = rent(ada, publish(shop))
    until(ada, contract["id"], "accepted")
    platform = nobody.get("/platform").json()
    found = shop.agent.get("/agents/me/desired", since=0).json()
    payload = b64u.decode(found["payload"])
    verify_platform(b64u.decode(platform["key"]), DESIRED, payload, b64u.decode(found["sig"]))
    desired = json.loads(payload)
    assert desired["platform_id"] == platform["platform_id"]
    assert [one["contract"] for one in desired["assignments"]] == [contract["id"]]
    pending = shop.agent.get(f"/providers/{shop.owner.id}/contracts/pending-provision").json()
    assert [one["contract"] for one in pending["items"]] == [contract["id"]]


def test_a_late_success_is_told_that_nothing_is_wanted(ada: Person, shop: Shop) -> None:
    contract = rent(ada, publish(shop))
    until(ada, contract["id"], "accepted")
    fence = lease(shop, contract["id"])["fence"]
    body = {"fence": fence, "scope": "fake:scope"}
    path = f"/assignments/{contract['id']}/create-started"
    assert shop.agent.post(path, body).status_code == 200
    assert ada.api.post(f"/contracts/{contract['id']}/cancel", {}).status_code == 200
    late = provisioned(shop, ada, contract, fence)
    assert late.status_code == 200, late.text
    assert late.json()["desired"] == "absent"
    assert late.json()["contract_state"] == "cancelled"


def test_the_same_signed_order_makes_one_contract(ada: Person, shop: Shop) -> None:
    offering = publish(shop)
    body = order_body(order_for(ada, offering), ada.keys)
    first = ada.api.post("/contracts", body)
    again = ada.api.post("/contracts", body)
    assert first.json()["id"] == again.json()["id"]
    assert len(ada.api.get("/contracts").json()["items"]) == 1


def _refunds_confirmed(person: Person, contract: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    while True:
        found: list[dict[str, Any]] = person.api.get(f"/contracts/{contract}").json()["refunds"]
        if found and all(one["state"] == "confirmed" for one in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)

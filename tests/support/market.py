"""A market for tests: offerings that are published, orders that are signed, and an agent's work by hand."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from decent_cloud.app.ports.reach import Reached, ReachResult
from decent_cloud.domain.catalog.terms import terms_hash
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.credentials import Subject, seal_credential
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.offers import Offer, sign_offer
from decent_cloud.domain.keys.orders import Order, sign_order
from decent_cloud.domain.keys.statements import StatementType, sign_statement
from decent_cloud.kernel.ids import AccountId, Digest, OfferingId
from tests.support.people import Person, Shop

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuEUlDDvjSVe0SkZx1oPNfmRpjxGmuvHnUxpvwSzYKN"
SCOPE = "fake:scope"
PASSWORD = "canary-secret-7f3a"
DRAFT: Mapping[str, Any] = {
    "title": "Small machine",
    "kind": "container",
    "image": "dc-ssh",
    "cpu_milli": 500,
    "memory_mib": 256,
    "disk_gib": 1,
    "country": "CH",
    "asset": "USD",
    "price_minor_per_hour": "10",
    "stock": 100,
}


class OpenDoor:
    """A vantage point to which everything answers."""

    async def check(self, host: str, port: int, host_keys: tuple[str, ...]) -> ReachResult:
        return ReachResult(Reached.OK, "open", 0)


def heartbeat(shop: Shop) -> httpx.Response:
    body = {"version": "1", "driver": "fake", "scope": SCOPE, "instances": 0}
    return shop.agent.post(f"/providers/{shop.owner.id}/heartbeat", body)


def publish(shop: Shop, **changes: Any) -> dict[str, Any]:
    """Draft and publish an offering of a shop whose agent is online; returns its view."""
    assert heartbeat(shop).status_code == 200
    return put_on_offer(shop, **changes)


def put_on_offer(shop: Shop, **changes: Any) -> dict[str, Any]:
    """Do the same where a real agent says itself that it is there."""
    draft = {**DRAFT, "pool": shop.pool, **changes}
    made = shop.owner.api.post("/offerings", draft)
    assert made.status_code == 201, made.text
    view = made.json()
    offer = Offer(shop.owner.id, OfferingId(view["id"]), 1, terms_hash(view["terms"]))
    body = {"statement": sign_offer(offer, shop.owner.keys).to_json()}
    published = shop.owner.api.post(f"/offerings/{view['id']}/publish", body)
    assert published.status_code == 200, published.text
    found: dict[str, Any] = published.json()
    return found


def order_for(tenant: Person, offering: Mapping[str, Any], hours: int = 2) -> Order:
    price = offering["price_per_hour"]
    return Order(
        account_id=tenant.id,
        extends=None,
        head=tenant.chain.pin,
        hours=hours,
        nonce=secrets.token_bytes(16),
        not_after_s=int(time.time()) + 600,
        offer_digest=Digest(offering["offer_hash"]),
        offering_id=OfferingId(offering["id"]),
        provider=AccountId(offering["provider"]),
        recovery="none",
        renew="no",
        ssh_keys=(SSH_KEY,),
        total_amount_minor=int(price["amount_minor"]) * hours,
        total_asset=price["asset"],
    )


def order_body(order: Order, keys: DeviceKeys, card: str = "test-ok") -> dict[str, Any]:
    return {
        "order": sign_order(order, keys).to_json(),
        "pay": {"method": "sandbox", "card": card},
    }


def unchecked_order_body(order: Order, keys: DeviceKeys, **changes: Any) -> dict[str, Any]:
    """Sign what our own client would refuse to sign."""
    payload: Any = {**order.to_json(), **changes}
    statement = sign_statement(StatementType.ORDER, payload, [keys])
    return {"order": statement.to_json(), "pay": {"method": "sandbox", "card": "test-ok"}}


def rent(tenant: Person, offering: Mapping[str, Any], hours: int = 2) -> dict[str, Any]:
    answer = tenant.api.post(
        "/contracts", order_body(order_for(tenant, offering, hours), tenant.keys)
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(person: Person, contract: str, *states: str, timeout_s: float = 10) -> dict[str, Any]:
    """Wait until a contract is in one of these states."""
    deadline = time.monotonic() + timeout_s
    while True:
        found: dict[str, Any] = person.api.get(f"/contracts/{contract}").json()
        if found["state"] in states:
            return found
        assert time.monotonic() < deadline, f"still {found['state']}"
        time.sleep(0.02)


def lease(shop: Shop, contract: str) -> dict[str, Any]:
    answer = shop.agent.post(f"/assignments/{contract}/lease", {"scope": SCOPE})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def provisioned(
    shop: Shop, tenant: Person, contract: Mapping[str, Any], fence: int, port: int = 2222
) -> httpx.Response:
    """Report a machine with a credential sealed to the tenant by the shop's agent."""
    subject = Subject(tenant.id, shop.owner.id, Digest(contract["digest"]), 1)
    access = Access("127.0.0.1", port, "tenant", (HOST_KEY,), password=PASSWORD)
    sealed = seal_credential(subject, access, shop.agent_keys, tenant.chain.generation)
    report = {
        "outcome": "provisioned",
        "fence": fence,
        "scope": SCOPE,
        "host": "127.0.0.1",
        "port": port,
        "host_keys": [HOST_KEY],
        "credential": sealed.to_json(),
        "instance": f"dc-{contract['id']}",
    }
    return shop.agent.put(f"/provider/rental-requests/{contract['id']}/provisioning", report)


def deliver(shop: Shop, tenant: Person, contract: Mapping[str, Any]) -> dict[str, Any]:
    """Do the agent's part until the contract is active."""
    id_ = contract["id"]
    until(tenant, id_, "accepted")
    fence = lease(shop, id_)["fence"]
    started = shop.agent.post(
        f"/assignments/{id_}/create-started", {"fence": fence, "scope": SCOPE}
    )
    assert started.status_code == 200, started.text
    answer = provisioned(shop, tenant, contract, fence)
    assert answer.status_code == 200, answer.text
    return until(tenant, id_, "active")


def with_changes(order: Order, **changes: Any) -> Order:
    return replace(order, **changes)


def hash_text(hex64: str) -> str:
    return b64u.from_hex(hex64)

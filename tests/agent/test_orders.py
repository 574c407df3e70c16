"""Nothing is made for an order that does not fit: wrong digest, signer, provider, age, offer or keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from decent_cloud.agent.journal_memory import MemoryJournal
from decent_cloud.agent.orders import LATEST_AFTER_MS, OrderRefused, Orders
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.statements import to_wire
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.domain.keys.errors import Forked, RolledBack, UnknownHead
from decent_cloud.domain.keys.orders import Order, sign_order
from decent_cloud.kernel.ids import AccountId, Digest
from decent_cloud.kernel.status import AssignmentState, Desired
from decent_cloud.wire.v1.agents import AssignmentView, InstanceTerms
from tests.support.market import order_for, publish, rent
from tests.support.people import Person, Shop, new_person

NOW_MS = int(time.time() * 1_000)


@pytest.fixture
def offering(shop: Shop) -> dict[str, Any]:
    return publish(shop)


@pytest.fixture
def orders(shop: Shop, tenant: Person, offering: dict[str, Any]) -> Any:
    rent(tenant, offering)  # a provider's agent sees the chains of its tenants
    transport = Transport(shop.owner.url, DeviceAuth(shop.owner.id, shop.agent_keys))
    journal = MemoryJournal()
    yield Orders(AgentApi(transport), journal, shop.owner.id), journal
    transport.close()


def assignment(order: Order, signer: Person, **changed: Any) -> AssignmentView:
    statement = sign_order(order, signer.keys)
    fields: dict[str, Any] = {
        "contract": "c" + "0" * 26,
        "digest": order.digest,
        "state": AssignmentState.LEASED,
        "desired": Desired.RUNNING,
        "attempt": 1,
        "fence": 1,
        "holder": "",
        "lease_expires_at_ms": 0,
        "scope": "",
        "tenant": signer.id,
        "order": to_wire(statement),
        "terms": InstanceTerms(
            image="dc-ssh", cpu_milli=500, memory_mib=256, disk_gib=1, settings={}
        ),
        "paid_until_ms": 0,
        "deadline_ms": 0,
        "renews": False,
        "suspended": False,
        **changed,
    }
    return AssignmentView(**fields)


def test_a_fitting_order_is_taken_with_its_keys_and_its_tenants_newest_generation(
    orders: Any, tenant: Person, offering: dict[str, Any]
) -> None:
    order = order_for(tenant, offering)
    found = orders[0].verify(assignment(order, tenant), NOW_MS)
    assert found.order == order
    assert found.tenant.generation == tenant.chain.generation
    assert [key.line() for key in found.ssh_keys] == list(order.ssh_keys)
    assert orders[1].pin(tenant.id) == tenant.chain.pin


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("another contract's digest", {}, {"digest": "0" * 64}, "named after"),
    ("an extension", {"extends": Digest("1" * 64)}, {}, "named after"),
    ("another provider", {"provider": AccountId("2" * 64)}, {}, "another provider"),
    (
        "far too late",
        {"not_after_s": (NOW_MS - LATEST_AFTER_MS) // 1_000 - 5},
        {},
        "too old",
    ),
    ("a broken key", {"ssh_keys": ("ssh-ed25519 nonsense",)}, {}, "SSH key"),
    (
        "more than was offered",
        {},
        {
            "terms": InstanceTerms(
                image="dc-ssh", cpu_milli=500, memory_mib=512, disk_gib=1, settings={}
            )
        },
        "memory_mib",
    ),
    (
        "another image",
        {},
        {
            "terms": InstanceTerms(
                image="other", cpu_milli=500, memory_mib=256, disk_gib=1, settings={}
            )
        },
        "image",
    ),
]


@pytest.mark.parametrize(
    ("in_order", "in_assignment", "words"),
    [pytest.param(*row[1:], id=row[0]) for row in REFUSALS],
)
def test_what_does_not_fit_is_refused(
    orders: Any,
    tenant: Person,
    offering: dict[str, Any],
    in_order: dict[str, Any],
    in_assignment: dict[str, Any],
    words: str,
) -> None:
    order = replace(order_for(tenant, offering), **in_order)
    with pytest.raises(OrderRefused, match=words):
        orders[0].verify(assignment(order, tenant, **in_assignment), NOW_MS)


def test_an_order_signed_by_somebody_else_is_refused(
    orders: Any, tenant: Person, offering: dict[str, Any]
) -> None:
    stranger = new_person(tenant.url)
    view = assignment(order_for(tenant, offering), stranger, tenant=tenant.id)
    with pytest.raises(OrderRefused, match="does not verify"):
        orders[0].verify(view, NOW_MS)


def test_an_altered_order_is_refused(orders: Any, tenant: Person, offering: dict[str, Any]) -> None:
    view = assignment(order_for(tenant, offering), tenant)
    other = assignment(order_for(tenant, offering, hours=3), tenant)
    mixed = msgspec.structs.replace(view.order, p=other.order.p)
    with pytest.raises(OrderRefused, match="does not verify"):
        orders[0].verify(msgspec.structs.replace(view, order=mixed), NOW_MS)


def test_an_order_ahead_of_the_served_chain_waits(
    orders: Any, tenant: Person, offering: dict[str, Any]
) -> None:
    order = replace(order_for(tenant, offering), head=Pin(9, Digest("3" * 64)))
    with pytest.raises(UnknownHead):
        orders[0].verify(assignment(order, tenant), NOW_MS)


@pytest.mark.parametrize(
    ("pin", "refusal"),
    [
        (lambda person: Pin(7, Digest("4" * 64)), RolledBack),
        (lambda person: Pin(person.chain.seq, Digest("4" * 64)), Forked),
    ],
)
def test_a_chain_that_contradicts_an_earlier_look_is_refused(
    orders: Any,
    tenant: Person,
    offering: dict[str, Any],
    pin: Callable[[Person], Pin],
    refusal: type[Exception],
) -> None:
    orders[1].set_pin(tenant.id, pin(tenant))
    with pytest.raises(refusal):
        orders[0].verify(assignment(order_for(tenant, offering), tenant), NOW_MS)


def test_an_offer_that_changed_since_does_not_stop_an_order_made_before(
    orders: Any, shop: Shop, tenant: Person, offering: dict[str, Any]
) -> None:
    order = replace(order_for(tenant, offering), offer_digest=Digest("5" * 64))
    assert orders[0].verify(assignment(order, tenant), NOW_MS).order == order

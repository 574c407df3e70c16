"""Orders on their way: the same bytes under the same key until an answer comes; quotes that were not signed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from decent_cloud.client.contracts import ContractsApi
from decent_cloud.client.errors import ApiProblem, Unreachable
from decent_cloud.client.offerings import (
    Quote,
    TermsDiffer,
    check_terms,
    terms_hash,
    verified_quote,
)
from decent_cloud.client.rentals import (
    Extended,
    OrderJournal,
    SignedOrder,
    Signer,
    Wish,
    WrongContract,
    send,
    sign,
)
from decent_cloud.client.statements import from_wire, to_wire
from decent_cloud.client.transport import Limits, Transport
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState, begin
from decent_cloud.domain.keys.devices import DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.links import build_genesis
from decent_cloud.domain.keys.offers import Offer, sign_offer
from decent_cloud.domain.keys.orders import verify_order
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import NotFound
from decent_cloud.kernel.ids import Digest, OfferingId
from decent_cloud.kernel.money import Asset
from decent_cloud.wire.v1.contracts import ContractView, PayWith
from decent_cloud.wire.v1.money import Amount
from decent_cloud.wire.v1.offerings import OfferingView

NOW_MS = 1_800_000_000_000
NOT_SHOWN_SO = {"price", "grace_hours", "management_key", "reset"}  # a view says these otherwise
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
TERMS: dict[str, Json] = {
    "accept_mode": "auto",
    "country": "CH",
    "cpu_milli": 500,
    "disk_gib": 0,
    "grace_hours": 24,
    "image": "tiny",
    "kind": "container",
    "management_key": "no",
    "max_hours": 720,
    "memory_mib": 128,
    "min_hours": 1,
    "penalty_ppm": 0,
    "price": {"amount_minor": 5, "asset": "USD"},
    "provision_timeout_s": 1800,
    "region": "",
    "reset": "no",
    "title": "Small",
}


def _account() -> tuple[ChainState, DeviceKeys]:
    keys, seed = DeviceKeys(secrets.token_bytes(32)), AccountSeed(1, secrets.token_bytes(32))
    members = [(keys.public(DeviceType.CLI, Rank.ORDINARY), keys)]
    return begin(build_genesis(members, seed.public, secrets.token_bytes(16))), keys


PROVIDER, PROVIDER_KEYS = _account()
TENANT, TENANT_KEYS = _account()


def _view(**changes: Any) -> OfferingView:
    terms = canonical.write(TERMS).decode()
    offer = Offer(PROVIDER.account_id, OfferingId("o1"), 3, terms_hash(terms))
    plain: dict[str, Any] = {
        **{name: value for name, value in TERMS.items() if name not in NOT_SHOWN_SO},
        "id": "o1",
        "provider": PROVIDER.account_id,
        "provider_name": "Farm",
        "pool": "w1",
        "state": "published",
        "visibility": "public",
        "description": "",
        "price_per_hour": Amount(amount_minor="5", asset=Asset.USD),
        "stock": 1,
        "available": 1,
        "n": 3,
        "terms": terms,
        "offer": to_wire(sign_offer(offer, PROVIDER_KEYS)),
        "offer_hash": offer.digest,
        "rentable": True,
        "not_rentable_because": "",
        "updated_at": "2027-01-01T00:00:00.000Z",
    }
    return codec.convert(codec.plain(plain | changes), OfferingView)


def _quote() -> Quote:
    return verified_quote(_view(), PROVIDER)


def _order(extended: Extended | None = None) -> SignedOrder:
    wish = Wish(2, (KEY,), PayWith(method="sandbox", card="test-ok"))
    return sign(_quote(), wish, Signer(TENANT, TENANT_KEYS), NOW_MS, extended)


def _contract(digest: str, order: SignedOrder) -> bytes:
    blank = {
        field.name: {"str": "", "int": 0, "bool": False}.get(getattr(field.type, "__name__", ""))
        for field in msgspec.structs.fields(ContractView)
    }
    known = {
        "id": "c1",
        "digest": digest,
        "state": "requested",
        "tenant": TENANT.account_id,
        "provider": PROVIDER.account_id,
        "total": {"amount_minor": "10", "asset": "USD"},
        "order": order.statement,
        **dict.fromkeys(("host_keys", "terms", "payments", "refunds"), ()),
    }
    return codec.to_json(blank | known)


def _api(answer: Callable[[httpx.Request], httpx.Response]) -> ContractsApi:
    network = httpx.MockTransport(answer)
    limits = Limits(attempts=3)
    return ContractsApi(Transport("http://p", via=network, limits=limits, sleep=lambda _s: None))


def test_an_order_says_exactly_what_was_quoted() -> None:
    signed = _order()
    order = verify_order(from_wire(signed.statement), TENANT)
    assert (order.digest, order.hours, order.ssh_keys) == (signed.digest, 2, (KEY,))
    assert (order.total_amount_minor, order.total_asset) == (10, "USD")
    assert (order.offer_digest, order.provider) == (_quote().offer.digest, PROVIDER.account_id)
    assert order.not_after_s == NOW_MS // 1000 + 3600
    assert _order().digest != signed.digest


def test_ones_own_machine_costs_nothing_and_is_not_paid() -> None:
    wish = Wish(2, (KEY,), PayWith(method="sandbox"))
    signed = sign(_quote(), wish, Signer(PROVIDER, PROVIDER_KEYS), NOW_MS)
    assert verify_order(from_wire(signed.statement), PROVIDER).total_amount_minor == 0
    assert signed.pay is None


def test_a_lost_answer_is_asked_for_again_with_the_same_order_and_key(tmp_path: Path) -> None:
    order, journal = _order(), OrderJournal(tmp_path)
    seen: list[tuple[str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert journal.only() == order  # it is in the journal before it is on the line
        seen.append((request.headers["Idempotency-Key"], request.content))
        if len(seen) == 1:
            raise httpx.ReadError("the line broke")
        return httpx.Response(201, content=_contract(order.digest, order))

    found = send(_api(answer), journal, order)
    assert found.id == "c1"
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert journal.open_orders() == ()


def test_without_any_answer_the_order_stays_in_the_journal(tmp_path: Path) -> None:
    order, journal = _order(), OrderJournal(tmp_path)

    def dead(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable):
        send(_api(dead), journal, order)
    assert journal.only() == order


@pytest.mark.parametrize(("status", "kept"), [(409, 0), (422, 0), (500, 1), (503, 1)])
def test_only_a_clear_no_ends_an_order(tmp_path: Path, status: int, kept: int) -> None:
    problem = {"status": status, "code": "x", "title": "x", "detail": "x", "request_id": "r"}
    journal = OrderJournal(tmp_path)
    with pytest.raises(ApiProblem):
        send(_api(lambda _request: httpx.Response(status, json=problem)), journal, _order())
    assert len(journal.open_orders()) == kept


def test_another_contract_than_the_signed_one_is_refused(tmp_path: Path) -> None:
    order = _order()
    foreign = _contract("ab" * 32, order)
    with pytest.raises(WrongContract):
        send(
            _api(lambda _request: httpx.Response(201, content=foreign)),
            OrderJournal(tmp_path),
            order,
        )


def test_an_extension_goes_to_its_contract(tmp_path: Path) -> None:
    extended = Extended("c1", Digest("cd" * 32))
    order = _order(extended)
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, content=_contract("cd" * 32, order))

    assert send(_api(answer), OrderJournal(tmp_path), order).id == "c1"
    assert paths == ["/api/v1/contracts/c1/extend"]
    assert verify_order(from_wire(order.statement), TENANT).extends == extended.digest


def test_of_several_open_orders_the_newest_is_resumed(tmp_path: Path) -> None:
    journal, first = OrderJournal(tmp_path), _order()
    wish = Wish(1, (KEY,), None)
    later = sign(_quote(), wish, Signer(TENANT, TENANT_KEYS), NOW_MS + 60_000)
    journal.put(later)
    journal.put(first)
    assert journal.only() == later


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 4},
        {"id": "o2"},
        {"offer_hash": "ab" * 32},
        {"price_per_hour": {"amount_minor": "6", "asset": "USD"}},
        {"price_per_hour": {"amount_minor": "5", "asset": "EUR"}},
        {"memory_mib": 256},
        {"title": "Large"},
        {"terms": canonical.write({**TERMS, "memory_mib": 256}).decode()},
        {"terms": "{}"},
        {"terms": "[]"},
    ],
)
def test_what_the_provider_did_not_sign_is_no_quote(changes: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        verified_quote(_view(**changes), PROVIDER)


def test_an_offer_by_somebody_else_is_no_quote() -> None:
    with pytest.raises(KeyRefused):
        verified_quote(_view(), TENANT)


def test_an_offering_that_was_never_published_is_no_quote() -> None:
    with pytest.raises(NotFound):
        verified_quote(_view(offer=None), PROVIDER)


def test_terms_are_compared_field_by_field() -> None:
    text = canonical.write(TERMS).decode()
    assert check_terms(text, {"country": "CH"}) == TERMS
    with pytest.raises(TermsDiffer) as caught:
        check_terms(text, {"country": "DE"})
    assert caught.value.details["field"] == "terms.country"

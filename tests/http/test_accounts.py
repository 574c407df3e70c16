"""Accounts over the API: chains, devices, personal fields."""

from __future__ import annotations

from decent_cloud.domain.keys.devices import DeviceType
from tests.support.people import Api, Person, genesis, genesis_body, idempotency, new_keys
from tests.support.platform import Platform


def test_an_account_is_created_and_read_by_its_own_device(ada: Person) -> None:
    found = ada.api.get("/accounts/me").json()
    assert found["id"] == ada.id
    assert found["seq"] == 0
    assert not found["admin"]
    assert {(d["type"], d["rank"]) for d in found["devices"]} == {("cli", 1), ("recovery", 0)}
    assert ada.api.get(f"/accounts/{ada.id}").json() == found


def test_others_do_not_see_an_account_or_its_chain(ada: Person, bob: Person) -> None:
    assert bob.api.get(f"/accounts/{ada.id}").status_code == 404
    assert bob.api.get(f"/accounts/{ada.id}/chain").json()["code"] == "not_found"
    assert len(ada.api.get("/accounts/me/chain").json()["links"]) == 1


def test_a_repeated_creation_gets_the_same_answer(nobody: Api) -> None:
    link, _, _, seed = genesis()
    body, headers = genesis_body(link, seed), idempotency()
    first = nobody.write("POST", "/accounts", body, headers)
    again = nobody.write("POST", "/accounts", body, headers)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert nobody.write("POST", "/accounts", body).json()["code"] == "already_exists"


def test_a_reading_device_cannot_write(ada: Person) -> None:
    reader = new_keys()
    assert ada.add_device(reader, DeviceType.PHONE, 2).status_code == 201
    api = ada.api_of(reader)
    assert api.get("/accounts/me").json()["seq"] == 1
    refused = api.put("/accounts/me/profile", {"display_name": "Ada"})
    assert refused.status_code == 403
    assert refused.json()["code"] == "read_only_device"


def test_personal_fields_are_not_kept_with_stored_answers(ada: Person, platform: Platform) -> None:
    headers = idempotency()
    body = {"display_name": "Ada Canary", "email": "canary@example.test"}
    first = ada.api.write("PUT", "/accounts/me/profile", body, headers)
    again = ada.api.write("PUT", "/accounts/me/profile", body, headers)
    assert first.json()["email"] == "canary@example.test"
    assert first.json() == again.json()
    stored = platform.read(lambda uow: uow.requests.answer(ada.id, headers["Idempotency-Key"]))
    assert stored is not None
    assert stored.body == ""

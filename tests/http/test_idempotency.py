"""The same request under the same key has one effect and one answer."""

from __future__ import annotations

import threading
from typing import Any

from tests.support.market import order_body, order_for, publish
from tests.support.people import Person, Shop, idempotency
from tests.support.platform import Platform


def test_a_write_needs_a_key(ada: Person) -> None:
    answer = ada.api.write("POST", "/providers", {"name": "Ada"}, {})
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency_key_needed"
    for key in ("", "a b", "x" * 81, "a/b"):
        answer = ada.api.write("POST", "/providers", {"name": "Ada"}, {"Idempotency-Key": key})
        assert answer.json()["code"] == "idempotency_key_needed"
    assert not ada.api.get("/accounts/me").json()["provider"]


def test_a_key_answers_one_request_only(ada: Person) -> None:
    headers = idempotency()
    assert ada.api.write("POST", "/providers", {"name": "Ada"}, headers).status_code == 201
    for method, path, body in (
        ("POST", "/providers", {"name": "Eva"}),
        ("PUT", "/accounts/me/profile", {"display_name": "Ada"}),
    ):
        other = ada.api.write(method, path, body, headers)
        assert other.status_code == 409
        assert other.json()["code"] == "idempotency_mismatch"
    again = ada.api.write("POST", "/providers", {"name": "Ada"}, headers)
    assert again.status_code == 201
    assert again.json()["name"] == "Ada"
    assert "idempotency-replayed" in again.headers


def test_a_failed_request_leaves_its_key_free(ada: Person) -> None:
    headers = idempotency()
    body = {"name": "main", "driver": "fake"}
    refused = ada.api.write("POST", "/pools", body, headers)
    assert refused.json()["code"] == "not_a_provider"
    ada.api.post("/providers", {"name": "Ada"})
    made = ada.api.write("POST", "/pools", body, headers)
    assert made.status_code == 201
    assert "idempotency-replayed" not in made.headers


def test_keys_of_two_accounts_do_not_meet(ada: Person, bob: Person) -> None:
    headers = idempotency()
    for person, name in ((ada, "Ada"), (bob, "Bob")):
        answer = person.api.write("POST", "/providers", {"name": name}, headers)
        assert answer.json()["name"] == name


def test_many_copies_at_once_have_one_effect(ada: Person, shop: Shop, platform: Platform) -> None:
    offering = publish(shop)
    body, headers = order_body(order_for(ada, offering), ada.keys), idempotency()
    answers: list[Any] = []

    def send() -> None:
        answers.append(ada.api_of(ada.keys).write("POST", "/contracts", body, headers))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    reserved = platform.read(lambda uow: uow.offerings.get(offering["id"]))
    assert reserved is not None
    assert reserved.reserved == 1

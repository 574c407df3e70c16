"""Requests are read strictly: what is refused names its field, and nothing changes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.market import DRAFT
from tests.support.people import PREFIX, Api, Person, Shop, idempotency

JSON = {"content-type": "application/json"}


def _problem(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"colour": "red"}, "colour", "unknown field"),
        ({"title": None}, "title", "Expected `str`"),
        ({"title": ""}, "title", "length >= 1"),
        ({"cpu_milli": "500"}, "cpu_milli", "Expected `int`, got `str`"),
        ({"cpu_milli": True}, "cpu_milli", "Expected `int`, got `bool`"),
        ({"cpu_milli": 0}, "cpu_milli", ">= 50"),
        ({"min_hours": 0}, "min_hours", ">= 1"),
        ({"max_hours": 10**9}, "max_hours", "<= 87600"),
        ({"kind": "boat"}, "kind", "Invalid enum value"),
        ({"country": "Switzerland"}, "country", "regex"),
        ({"price_minor_per_hour": "0"}, "price_minor_per_hour", "above 0"),
        ({"price_minor_per_hour": 10}, "price_minor_per_hour", "Expected `str`"),
        ({"pool": "w0"}, "pool", "your pools"),
        ({"settings": {"a": 1}}, "settings[...]", "Expected `str`"),
        ({"allowed_accounts": ["me"]}, "allowed_accounts[0]", "regex"),
    ],
)
def test_a_bad_field_is_named(shop: Shop, change: dict[str, Any], field: str, word: str) -> None:
    answer = shop.owner.api.post("/offerings", {**DRAFT, "pool": shop.pool, **change})
    problem = _problem(answer)
    assert problem["errors"][0]["field"] == field
    assert word in problem["detail"]
    assert shop.owner.api.get(f"/providers/{shop.owner.id}/offerings").json()["items"] == []


def test_a_missing_field_is_named(shop: Shop) -> None:
    draft = {**DRAFT, "pool": shop.pool}
    del draft["title"]
    problem = _problem(shop.owner.api.post("/offerings", draft))
    assert problem["errors"][0] == {"field": "title", "message": "title: missing"}


def test_an_unknown_field_deep_inside_is_named(nobody: Api) -> None:
    body = {"genesis": {"p": "AA", "s": [{"k": "A" * 22, "sig": "AA", "x": 1}]}, "boxes": []}
    problem = _problem(nobody.post("/accounts", body))
    assert problem["errors"][0]["field"] == "genesis.s[0].x"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"message": "a", "message": "b"}', "message: named twice"),
        (b'{"message": "a",}', "not JSON"),
        (b'{"message": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"n": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"", "needs a JSON body"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (b"{}", "message: missing"),
    ],
)
def test_a_bad_body_is_refused_with_words(nobody: Api, body: bytes, word: str) -> None:
    path = f"{PREFIX}/pair/{'0' * 32}/new"
    answer = nobody.http.put(path, content=body, headers={**JSON, **idempotency()})
    assert word in _problem(answer)["detail"]


def test_a_body_of_another_kind_is_refused(nobody: Api) -> None:
    path = f"{PREFIX}/pair/{'0' * 32}/new"
    answer = nobody.http.put(path, data={"message": "a"}, headers=idempotency())
    assert "application/json" in _problem(answer)["detail"]


def test_a_route_without_a_body_takes_none(ada: Person) -> None:
    answer = ada.api.post("/contracts/c0/confirm", {"x": 1})
    assert "takes no body" in _problem(answer)["detail"]


@pytest.mark.parametrize(
    ("query", "field", "word"),
    [
        ("colour=red", "colour", "unknown query parameter"),
        ("limit=0", "limit", ">= 1"),
        ("limit=201", "limit", "<= 200"),
        ("limit=ten", "limit", "Expected `int`"),
        ("limit=1&limit=2", "limit", "given twice"),
        ("kind=boat", "kind", "Invalid enum value"),
        ("asset=GOLD", "asset", "Invalid enum value"),
        ("cursor=%22", "cursor", "not a cursor"),
        ("max_price_minor=-1", "max_price_minor", ">= 0"),
    ],
)
def test_a_bad_query_is_named(nobody: Api, query: str, field: str, word: str) -> None:
    problem = _problem(nobody.http.get(f"{PREFIX}/offerings?{query}"))
    assert problem["errors"][0]["field"] == field
    assert word in problem["detail"]


def test_contracts_are_listed_by_known_states_only(ada: Person) -> None:
    assert ada.api.get("/contracts", state="active, lapsed").status_code == 200
    problem = _problem(ada.api.get("/contracts", state="sleeping"))
    assert problem["errors"][0]["field"] == "state"
    assert _problem(ada.api.get("/contracts", role="king"))["errors"][0]["field"] == "role"


def test_unknown_paths_and_methods_are_problems_too(nobody: Api) -> None:
    assert _problem(nobody.get("/nothing"), 404)["code"] == "no_such_route"
    assert _problem(nobody.http.get("/"), 404)["code"] == "no_such_route"
    answer = nobody.http.delete(f"{PREFIX}/platform")
    assert _problem(answer, 405)["code"] == "method_not_allowed"
    assert "GET" in answer.headers["allow"]


def test_a_large_body_is_refused_before_it_is_read(nobody: Api) -> None:
    path = f"{PREFIX}/accounts"
    answer = nobody.http.post(path, content=b"x" * (1 << 20) + b"x", headers=idempotency())
    assert _problem(answer, 413)["code"] == "body_too_large"

    def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 32_768

    answer = nobody.http.post(path, content=chunks(), headers=idempotency())
    assert _problem(answer, 413)["code"] == "body_too_large"


def test_a_request_id_of_the_client_is_used(nobody: Api) -> None:
    answer = nobody.http.get("/healthz", headers={"x-request-id": "client-chosen-1"})
    assert answer.headers["x-request-id"] == "client-chosen-1"
    answer = nobody.http.get("/healthz", headers={"x-request-id": "bad id"})
    assert answer.headers["x-request-id"] != "bad id"

"""The judge finds what breaks a contract, and faults happen as they are set."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.clouds.contract import OpenApiContract
from tests.support.clouds.server import Answer, Call, Cloud, on, serving_cloud

THING: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
ANSWER = {"content": {"application/json": {"schema": THING}}}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/things": {
            "get": {
                "parameters": [{"in": "query", "name": "page", "schema": {"type": "integer"}}],
                "responses": {"200": ANSWER},
            },
            "post": {
                "requestBody": {"required": True, **ANSWER},
                "responses": {"201": ANSWER, "4XX": {"content": {}}},
            },
        }
    }
}


class Things(Cloud):
    def __init__(self) -> None:
        super().__init__(OpenApiContract(DOCUMENT))
        self.made: list[Any] = []

    @on("POST", "/things")
    def make(self, call: Call) -> Answer:
        self.made.append(call.body)
        return Answer(201, call.body)


def judged(body: Any) -> list[str]:
    return OpenApiContract(DOCUMENT).of_request("POST", "/things", {}, body)


def test_a_right_exchange_has_no_violations() -> None:
    assert judged({"id": 1, "tags": {"any": "key"}}) == []


@pytest.mark.parametrize(
    "body", [{"id": "1"}, {}, {"id": 1, "tgas": {}}, {"id": 1, "tags": {"a": 2}}, None]
)
def test_wrong_types_missing_and_unknown_keys_are_found(body: Any) -> None:
    assert judged(body) != []


def test_unknown_parameters_paths_and_statuses_are_found() -> None:
    contract = OpenApiContract(DOCUMENT)
    assert contract.of_request("GET", "/things", {"page": ["2"]}, None) == []
    assert contract.of_request("GET", "/things", {"pgae": ["2"]}, None)
    assert contract.of_request("GET", "/things", {"page": ["two"]}, None)
    assert contract.of_request("GET", "/thing", {}, None)
    assert contract.of_answer("POST", "/things", 500, None)
    assert contract.of_answer("POST", "/things", 404, None) == []


def test_a_violation_fails_the_test_whatever_the_client_made_of_it() -> None:
    with pytest.raises(AssertionError, match="unknown key 'idd'"), serving_cloud(Things()) as cloud:
        assert httpx.post(f"{cloud.origin}/things", json={"id": 1, "idd": 2}).status_code == 201


def test_a_lost_answer_is_lost_after_the_write_and_a_fault_before_it() -> None:
    with serving_cloud(Things()) as cloud:
        cloud.lose_answer("POST", "/things")
        cloud.fail("POST", "/things", Answer(429, headers={"Retry-After": "3"}), skip=0)
        cloud.drop_call("POST", "/things")
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{cloud.origin}/things", json={"id": 1})
        refused = httpx.post(f"{cloud.origin}/things", json={"id": 2})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{cloud.origin}/things", json={"id": 3})
        assert httpx.post(f"{cloud.origin}/things", json={"id": 4}).status_code == 201
        assert cloud.made == [{"id": 1}, {"id": 4}]
        assert len(cloud.asked("POST", "/things")) == 4

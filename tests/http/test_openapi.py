"""The API's description is valid, complete, strict, and recorded."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from decent_cloud.http.application import describe
from decent_cloud.http.openapi import structs
from decent_cloud.http.permissions import PREFIX, RULES, WRITES
from tests.support.market import DRAFT
from tests.support.people import genesis, genesis_body

RECORDED = Path(__file__).parents[2] / "docs" / "openapi.json"
HIDDEN = {"/api/v1/openapi.json", "/api/v1/docs"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe(version("decent-cloud"))


def test_the_recorded_copy_is_current(document: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded == json.loads(json.dumps(document)), (
        "write it anew with: .venv/bin/python tools/openapi"
    )


def test_every_route_is_described(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {key for key in RULES if key[1].startswith(PREFIX) and key[1] not in HIDDEN}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert named <= document["components"]["schemas"].keys()


def test_names_of_operations_are_unique(document: dict[str, Any]) -> None:
    names = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(names) == len(set(names))


def test_every_write_asks_for_a_key_and_every_failure_is_a_problem(
    document: dict[str, Any],
) -> None:
    for item in document["paths"].values():
        for method, operation in item.items():
            names = {one["name"] for one in operation.get("parameters", ())}
            assert ("Idempotency-Key" in names) is (method.upper() in WRITES)
            failure = operation["responses"]["default"]["content"]["application/problem+json"]
            assert failure["schema"]["$ref"].endswith("/Problem")


def test_requests_are_closed_and_answers_open(document: dict[str, Any]) -> None:
    for kind in structs():
        schema = document["components"]["schemas"][kind.__name__]
        closed = kind.__struct_config__.forbid_unknown_fields
        assert (schema.get("additionalProperties") is False) is closed


def test_the_schemas_accept_what_the_server_accepts(document: dict[str, Any]) -> None:
    link, _, _, seed = genesis()
    _validate(document, "CreateAccount", genesis_body(link, seed))
    _validate(document, "OfferingDraft", {**DRAFT, "pool": "w0"})
    with pytest.raises(jsonschema.ValidationError):
        _validate(document, "OfferingDraft", {**DRAFT, "pool": "w0", "colour": "red"})
    with pytest.raises(jsonschema.ValidationError):
        _validate(document, "OfferingDraft", {**DRAFT, "pool": "w0", "min_hours": 0})


def _validate(document: dict[str, Any], name: str, value: object) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)

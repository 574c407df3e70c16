"""The OpenAPI 3.1 document: the framework's paths, msgspec's own schemas, and our words on who may call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import msgspec
from litestar import Litestar

from decent_cloud.http.errors import PROBLEM_JSON
from decent_cloud.http.permissions import PREFIX, RULES, WRITES, Rule, Who
from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.wire.v1 import (
    accounts,
    agents,
    assignments,
    contracts,
    first_scripts,
    money,
    offerings,
    plan_checks,
    prices,
    problems,
    providers,
    resets,
    statements,
)

_MODULES: tuple[ModuleType, ...] = (
    accounts,
    agents,
    assignments,
    contracts,
    first_scripts,
    money,
    offerings,
    plan_checks,
    prices,
    problems,
    providers,
    resets,
    statements,
)
_REF = "#/components/schemas/{name}"
_SAYS_NOTHING = frozenset({"deprecated", "allowEmptyValue", "allowReserved", "headers"})
_PROBLEM_REF = {"$ref": _REF.format(name="Problem")}
_STREAMS: Mapping[str, tuple[str, str]] = {
    f"{PREFIX}/agents/me/events": (
        "agent_events",
        (
            "Hints for the calling agent's pool: first `hello`, then `hint` with an AgentEvent. On each, and"
            " on `reset`, fetch the desired state; on `hello`, and on a hint of kind `offering`, what is offered too."
        ),
    ),
    f"{PREFIX}/contracts/{{contract}}/events": (
        "contract_events",
        (
            "The contract's steps as ContractEvent in `contract` events, its present state first. On `reset`"
            " read the contract again."
        ),
    ),
}
_RESUME = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "Go on after this event.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "The same key with the same request gets the same answer and no second effect, for 30 days.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$"},
}
_SIGNATURE = {
    "type": "http",
    "scheme": "Signature",
    "description": "RFC 9421, ed25519, tag `dcx-http-v1`, over `@method @authority @path @query content-digest`"
    ' with created, nonce and keyid `"<account>.<kid>"`; see docs/api.md.',
}


def document(app: Litestar) -> dict[str, Any]:
    """Return the document of an application that was built with its OpenAPI configuration."""
    found = app.openapi_schema.to_schema()
    paths: dict[str, Any] = {
        path: item for path, item in found["paths"].items() if path.startswith(PREFIX)
    }
    for path, (name, text) in _STREAMS.items():
        paths[path] = {"get": _stream(path, name, text)}
    for path, item in paths.items():
        for method, operation in item.items():
            _finish(operation, method.upper(), RULES[method.upper(), path])
    _, schemas = msgspec.json.schema_components(list(structs()), ref_template=_REF)
    cleaned: dict[str, Any] = _clean(
        {
            "openapi": found["openapi"],
            "info": found["info"],
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(sorted(schemas.items())),
                "securitySchemes": {"signature": _SIGNATURE},
            },
        }
    )
    return cleaned


def structs() -> Iterator[type[Answer | Request]]:
    """Yield every struct of the wire contract."""
    for module in _MODULES:
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Answer | Request) and value.__module__ == module.__name__:
                yield value


def _clean(value: Any) -> Any:
    """Drop what says nothing, unindent docstrings, and write whole numbers as such."""
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(one) if isinstance(one, str) else _clean(one)
            for key, one in value.items()
            if not (key in _SAYS_NOTHING and not one)
        }
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _finish(operation: dict[str, Any], method: str, rule: Rule) -> None:
    operation["x-who"] = rule.who.value
    if rule.permission:
        operation["x-permission"] = rule.permission.value
    if rule.who is Who.PUBLIC:
        operation["security"] = [{}, {"signature": []}]
    else:
        operation["security"] = [{"signature": []}]
    if method in WRITES:
        operation.setdefault("parameters", []).append(_KEY)
    responses = {
        status: answer for status, answer in operation["responses"].items() if status < "400"
    }
    responses["default"] = {
        "description": "A failure; `code` is stable.",
        "content": {PROBLEM_JSON: {"schema": _PROBLEM_REF}},
    }
    operation["responses"] = responses
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "oneOf" in body.get("schema", {}):
        body["schema"] = _union(body["schema"]["oneOf"])


def _union(refs: list[dict[str, str]]) -> dict[str, Any]:
    """Tell a tagged union's readers which member is meant."""
    by_name = {kind.__name__: kind for kind in structs()}
    mapping = {}
    field = ""
    for ref in refs:
        kind = by_name[ref["$ref"].rpartition("/")[2]]
        field = kind.__struct_config__.tag_field or ""
        mapping[str(kind.__struct_config__.tag)] = ref["$ref"]
    return {"oneOf": refs, "discriminator": {"propertyName": field, "mapping": mapping}}


def _stream(path: str, name: str, text: str) -> dict[str, Any]:
    parameters = [_RESUME]
    if "{contract}" in path:
        place = {"name": "contract", "in": "path", "required": True, "schema": {"type": "string"}}
        parameters.insert(0, place)
    return {
        "summary": "Event stream",
        "operationId": name,
        "description": text,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "A stream of server-sent events, with a comment every 15 s.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    }

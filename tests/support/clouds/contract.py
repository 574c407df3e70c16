"""Whether a request and its answer keep a vendor's document: shapes, types, and no key it does not know."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from jsonschema import Draft202012Validator, FormatChecker

from tests.support.clouds.documents import follow, read_openapi

_FORMATS = FormatChecker(["ipv4", "ipv6", "uuid", "regex"])
_METHODS = ("get", "post", "put", "patch", "delete")
_BRANCHES = ("allOf", "oneOf", "anyOf")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Contract(Protocol):
    """What can judge an exchange; each method returns the violations in words, none if it is right."""

    def of_request(
        self, method: str, path: str, query: Mapping[str, list[str]], body: Any
    ) -> list[str]:
        """Judge a request; `body` is None where there was none."""
        ...

    def of_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Judge an answer."""
        ...


class OpenApiContract:
    """A contract from an OpenAPI document; `prefix` is the part of the path before the document's paths."""

    def __init__(self, document: dict[str, Any], prefix: str = "") -> None:
        self._document = document
        self._prefix = prefix
        paths = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(_pattern(path), document["paths"][path]) for path in paths]
        self._validators: dict[int, Draft202012Validator] = {}

    def of_request(
        self, method: str, path: str, query: Mapping[str, list[str]], body: Any
    ) -> list[str]:
        operation, item = self._find(method, path)
        if operation is None:
            return ["the document has no such operation"]
        named = {
            (each["in"], each["name"]): each
            for each in map(
                self._resolved, [*item.get("parameters", []), *operation.get("parameters", [])]
            )
        }
        found = list(
            self._of_query(
                query, {key[1]: each for key, each in named.items() if key[0] == "query"}
            )
        )
        wanted = self._resolved(operation.get("requestBody") or {})
        schema = _json_schema_of(wanted)
        if body is None:
            return [*found, "a body is required"] if wanted.get("required") else found
        if schema is None:
            return [*found, "the document has no body here"]
        return [*found, *self._of_value(schema, body, "body")]

    def of_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        operation, _ = self._find(method, path)
        if operation is None:
            return ["the document has no such operation"]
        answers = operation["responses"]
        answer = (
            answers.get(str(status)) or answers.get(f"{status // 100}XX") or answers.get("default")
        )
        if answer is None:
            return [f"the document has no answer {status} here"]
        schema = _json_schema_of(self._resolved(answer))
        if schema is None:
            return [] if body is None else [f"the document has no body for {status}"]
        return self._of_value(schema, body, "answer")

    def _find(self, method: str, path: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        inner = path.removeprefix(self._prefix)
        for pattern, item in self._paths:
            if pattern.fullmatch(inner) and method.lower() in item:
                return item[method.lower()], item
        return None, {}

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            node = follow(self._document, node["$ref"])
        return node

    def _of_query(
        self, query: Mapping[str, list[str]], known: dict[str, dict[str, Any]]
    ) -> Iterator[str]:
        for name, values in query.items():
            if name not in known and f"{name}[]" not in known:
                yield f"query: unknown parameter {name!r}"
                continue
            schema = (known.get(name) or known[f"{name}[]"]).get("schema", {})
            yield from self._of_value(schema, self._read(schema, values), f"query.{name}")
        for name, each in known.items():
            if each.get("required") and name not in query:
                yield f"query: {name!r} is required"

    def _read(self, schema: dict[str, Any], values: Sequence[str]) -> Any:
        """Read a query's text as its schema means it."""
        schema = self._resolved(schema)
        kinds = {kind for each in self._flat(schema) for kind in _kinds(each)}
        if "array" in kinds:
            items: dict[str, Any] = next(
                (each["items"] for each in self._flat(schema) if "items" in each), {}
            )
            return [self._read(items, [value]) for value in values]
        text = values[-1]
        if kinds & {"integer", "number"} and _NUMBER.fullmatch(text):
            return float(text) if "." in text else int(text)
        if "boolean" in kinds and text in {"true", "false"}:
            return text == "true"
        return text

    def _of_value(self, schema: dict[str, Any], value: Any, where: str) -> list[str]:
        if not schema:
            return []
        validator = self._validators.get(id(schema))
        if validator is None:
            whole = {
                **schema,
                "components": self._document.get("components", {}),
                "paths": self._document["paths"],
            }
            validator = Draft202012Validator(whole, format_checker=_FORMATS)
            self._validators[id(schema)] = validator
        found = [
            f"{'.'.join([where, *map(str, error.absolute_path)])}: {error.message[:300]}"
            for error in validator.iter_errors(value)
        ]
        return [*found, *self._unknown_keys([schema], value, where)]

    def _unknown_keys(self, schemas: list[dict[str, Any]], value: Any, where: str) -> Iterator[str]:
        """Find keys that no branch of the schemas names, though the document leaves its objects open."""
        flat = [part for each in schemas for part in self._flat(each)]
        if isinstance(value, list):
            items = [each["items"] for each in flat if isinstance(each.get("items"), dict)]
            for number, each in enumerate(value):
                yield from self._unknown_keys(items, each, f"{where}[{number}]")
        if not isinstance(value, dict):
            return
        named = [each for each in flat if each.get("properties")]
        extra = [each["additionalProperties"] for each in flat if each.get("additionalProperties")]
        for key, inner in value.items():
            below = [each["properties"][key] for each in named if key in each["properties"]]
            below += [each for each in extra if isinstance(each, dict)]
            if below:
                yield from self._unknown_keys(below, inner, f"{where}.{key}")
            elif named and not extra:
                yield f"{where}: unknown key {key!r}"

    def _flat(self, schema: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
        schema = self._resolved(schema)
        yield schema
        if depth < 12:
            for each in (part for branch in _BRANCHES for part in schema.get(branch, ())):
                yield from self._flat(each, depth + 1)


@functools.cache
def openapi_contract(name: str, prefix: str = "") -> OpenApiContract:
    """Return the contract of a document, read once in a run; skip the test where there is none."""
    return OpenApiContract(read_openapi(name), prefix)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", path)
    return re.compile("[^/]+".join(map(re.escape, parts)))


def _json_schema_of(holder: dict[str, Any]) -> dict[str, Any] | None:
    for kind, content in holder.get("content", {}).items():
        if "json" in kind:
            schema = content.get("schema", {})
            return schema if isinstance(schema, dict) else {}
    return None


def _kinds(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)

"""Proxmox's API schema as a judge of exchanges: its parameters as JSON Schema, its permissions as a table."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.support.clouds.documents import read_text

PREFIX = "/api2/json"
DOCUMENTS = {8: "proxmox/apidoc-8.4.5.js.gz", 9: "proxmox/apidata-9.1.js.gz"}
_FORMATS = FormatChecker([])
_KEPT = ("enum", "minimum", "maximum", "minLength", "maxLength")
_PATTERNS = {
    "pve-vmid": r"[1-9][0-9]{2,8}",
    "pve-node": r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?",
    "dns-name": r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*",
    "pve-storage-id": r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]",
    "pve-poolid": r"[A-Za-z0-9.\-_/]+",
    "pve-tag-list": r"[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*([;, ][a-zA-Z0-9_][a-zA-Z0-9_\-+.]*)*",
    "urlencoded": r"[-%a-zA-Z0-9_.!~*'()]*",
    "pve-configid-list": r"[a-z][a-z0-9_-]+([,; ][a-z][a-z0-9_-]+)*",
}
Schema = dict[str, Any]
Acl = Mapping[str, frozenset[str]]


class PveContract:
    """One version's schema."""

    def __init__(self, tree: list[Schema]) -> None:
        self._methods: list[tuple[str, re.Pattern[str], Schema]] = [
            (method, _pattern(path), info) for path, method, info in _walk(tree)
        ]
        self._validators: dict[int, Draft202012Validator] = {}

    def of_request(
        self, method: str, path: str, query: Mapping[str, list[str]], body: Any
    ) -> list[str]:
        """Judge a request: every parameter known, of its type and form, none missing."""
        info, given = self.find(method, path)
        if info is None:
            return ["the schema has no such method"]
        values = {**given, **{name: each[-1] for name, each in query.items()}, **_fields(body)}
        parameters = info.get("parameters") or {}
        schemas = parameters.get("properties") or {}
        known = {name: _named(schemas, name) for name in values}
        found = [f"unknown parameter {name!r}" for name, schema in known.items() if schema is None]
        found += [
            f"the parameter {name!r} is required"
            for name, schema in schemas.items()
            if not schema.get("optional") and name not in values and "[n]" not in name
        ]
        for name, schema in known.items():
            if schema is not None:
                found += [f"{name}: {each}" for each in self._of_text(schema, values[name])]
        return found

    def of_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Judge a good answer's data; refusals have no schema."""
        info, _ = self.find(method, path)
        if status != 200:
            return []
        if info is None:
            return ["the schema has no such method"]
        if not isinstance(body, dict) or set(body) != {"data"}:
            return ["the answer has no data"]
        returns = info.get("returns") or {}
        if body["data"] is None and (returns.get("type") == "null" or returns.get("optional")):
            return []
        validator = self._validators.get(id(returns))
        if validator is None:
            validator = Draft202012Validator(_answer_schema(returns))
            self._validators[id(returns)] = validator
        return [
            f"{'.'.join(['data', *map(str, each.absolute_path)])}: {each.message[:200]}"
            for each in validator.iter_errors(body["data"])
        ]

    def find(self, method: str, path: str) -> tuple[Schema | None, dict[str, str]]:
        """Return a call's description and the parameters in its path."""
        inner = path.removeprefix(PREFIX)
        for known, pattern, info in self._methods:
            found = pattern.fullmatch(inner)
            if known == method and found:
                return info, found.groupdict()
        return None, {}

    def _of_text(self, schema: Schema, text: str) -> Iterator[str]:
        kind = schema.get("type", "string")
        value: Any = text
        if kind == "boolean":
            if text.lower() not in {"0", "1", "yes", "no", "true", "false", "on", "off"}:
                yield f"{text!r} is no boolean"
            return
        if kind in {"integer", "number"}:
            if not re.fullmatch(r"-?\d+" if kind == "integer" else r"-?\d+(\.\d+)?", text):
                yield f"{text!r} is no {kind}"
                return
            value = int(text) if kind == "integer" else float(text)
        plain = {name: schema[name] for name in _KEPT if name in schema}
        yield from (each.message for each in Draft202012Validator(plain).iter_errors(value))
        form = schema.get("format")
        patterns = [schema.get("pattern"), _PATTERNS.get(form) if isinstance(form, str) else None]
        for pattern in patterns:
            # A few of the document's patterns are Perl's own and mean nothing here.
            if pattern and "(?^" not in pattern and not re.fullmatch(pattern, text):
                yield f"{text!r} does not match {pattern}"
        if isinstance(form, dict):
            yield from _of_property_string(form, text)


@functools.cache
def pve_contract(major: int) -> PveContract:
    """Return the contract of PVE 8 or 9, read once in a run; skips the test where there is none."""
    text = read_text(DOCUMENTS[major])
    tree = json.JSONDecoder().raw_decode(text[text.index("[") :])[0]
    return PveContract(tree)


def denied(check: Any, values: Mapping[str, str], may: Callable[[str, str], bool]) -> str:
    """Return what a permission check of the schema misses ("path, privilege"), empty if nothing."""
    if not isinstance(check, list):
        return ""
    if check[0] == "and":
        return next((each for part in check[1:] if (each := denied(part, values, may))), "")
    if check[0] == "or":
        found = [denied(part, values, may) for part in check[1:]]
        return "" if "" in found else found[0]
    if check[0] != "perm":
        return ""
    path, privileges, options = check[1], check[2], check[3:]
    if "require_param" in options and options[options.index("require_param") + 1] not in values:
        return "/, never"
    path = re.sub(r"\{([^}]+)\}", lambda found: values.get(found.group(1), ""), path)
    missing = [each for each in privileges if not may(path, each)]
    if "any" in options:
        return f"{path}, {'|'.join(privileges)}" if len(missing) == len(privileges) else ""
    return f"{path}, {missing[0]}" if missing else ""


def _walk(nodes: list[Schema]) -> Iterator[tuple[str, str, Schema]]:
    for node in nodes:
        for method, info in (node.get("info") or {}).items():
            yield node["path"], method, info
        yield from _walk(node.get("children") or [])


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{([^}]+)\}", path)
    return re.compile(
        "".join(
            f"(?P<{part.replace('-', '_')}>[^/]+)" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
    )


def _fields(body: Any) -> dict[str, str]:
    return {name: value for name, value in (body or {}).items() if isinstance(value, str)}


def _named(schemas: Schema, name: str) -> Schema | None:
    numbered = re.sub(r"\d+$", "[n]", name)
    found = schemas.get(name) or schemas.get(numbered)
    return found if isinstance(found, dict) else None


def _of_property_string(form: Schema, text: str) -> Iterator[str]:
    """Judge `key=value,key=value`, where one key may go without its name."""
    default = next((name for name, each in form.items() if each.get("default_key")), None)
    seen = set()
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = default or "", part
        schema = form.get(name)
        if schema is None:
            yield f"unknown key {name!r} in {text!r}"
            continue
        name = schema.get("keyAlias") or schema.get("alias") or name
        seen.add(name)
        if "enum" in schema and value not in schema["enum"]:
            yield f"{value!r} is none of {schema['enum']}"
    for name, schema in form.items():
        free = schema.get("optional") or schema.get("alias") or "default" in schema
        if not free and name not in seen:
            yield f"the key {name!r} is missing in {text!r}"


def _answer_schema(returns: Schema) -> Schema:
    """Turn a description of an answer into JSON Schema, closed where it names properties."""
    kind = returns.get("type", "object")
    if kind == "boolean":
        return {"enum": [0, 1, True, False]}
    made: Schema = {"type": kind, **({"enum": returns["enum"]} if "enum" in returns else {})}
    if kind == "array" and isinstance(returns.get("items"), dict):
        made["items"] = _answer_schema(returns["items"])
    properties = returns.get("properties")
    if kind == "object" and properties:
        made["properties"] = {
            name: _answer_schema(each) for name, each in properties.items() if "[n]" not in name
        }
        made["patternProperties"] = {
            f"^{re.escape(name[:-3])}\\d+$": _answer_schema(each)
            for name, each in properties.items()
            if "[n]" in name
        }
        made["required"] = [
            name
            for name, each in properties.items()
            if not each.get("optional") and "[n]" not in name
        ]
        made["additionalProperties"] = bool(returns.get("additionalProperties"))
    return made

"""The vendors' own API documents as test data: found beside the project, mended where they are known to be broken."""

from __future__ import annotations

import copy
import functools
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

WHERE = "DECENT_SHARED"
_BESIDE = Path(__file__).parents[4] / "shared"


def document_path(name: str) -> Path:
    """Return the path of a document such as `hetzner/cloud.spec.json.gz`; skip the test where there is none."""
    folder = Path(os.environ.get(WHERE, _BESIDE)) / "vendor-specs"
    path = folder / name
    if not path.exists():
        pytest.skip(
            f"no vendor document {name}: name the folder that holds vendor-specs in {WHERE}"
        )
    return path


def read_text(name: str) -> str:
    """Return a document's text, unpacked."""
    with gzip.open(document_path(name), "rt", encoding="utf-8") as packed:
        return packed.read()


def read_openapi(name: str) -> dict[str, Any]:
    """Return an OpenAPI document in the shape of JSON Schema 2020-12, with its known defects mended.

    `4xx` becomes `4XX`, references that lead nowhere accept anything, and 3.0's `nullable` and
    boolean bounds read as 3.1 writes them. Kept for the whole run: do not change it.
    """
    return _openapi(str(document_path(name)))


@functools.cache
def _openapi(path: str) -> dict[str, Any]:
    with gzip.open(path, "rb") as packed:
        document: dict[str, Any] = json.load(packed)
    for item in document["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                answers = operation["responses"]
                operation["responses"] = {
                    (status if status == "default" else status.upper()): answers[status]
                    for status in answers
                }
    old = str(document.get("openapi", "")).startswith("3.0")
    return _mended(document, document, old=old)  # type: ignore[no-any-return]


def _mended(node: Any, document: dict[str, Any], *, old: bool) -> Any:
    if isinstance(node, list):
        return [_mended(each, document, old=old) for each in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        return {"$ref": reference} if follow(document, reference) is not None else {}
    mended = {
        key: copy.copy(value)
        if key in {"example", "examples", "enum", "default"}
        else _mended(value, document, old=old)
        for key, value in node.items()
        if not (key == "properties" and value is None)
    }
    return _as_in_3_1(mended) if old else mended


def _as_in_3_1(schema: dict[str, Any]) -> dict[str, Any]:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    if schema.get("nullable") is not True:
        return schema
    del schema["nullable"]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"].append(None)
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def follow(document: dict[str, Any], reference: str) -> Any:
    """Return what a reference inside the document names, or None."""
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node

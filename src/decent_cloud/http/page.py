"""The API as one HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-top:1px solid #8884}"
    ":root{color-scheme:light dark}h2{margin-top:2.5rem}h3 code{font-size:1.1em}.who{opacity:.7}"
)
_INTRO = (
    "<p>Every request but the public ones is signed with a device's key (RFC 9421); every write carries an"
    " <code>Idempotency-Key</code>; failures are <code>application/problem+json</code> with a stable"
    " <code>code</code>. The machine-readable form is <a href='openapi.json'>openapi.json</a>.</p>"
)


def page_of(document: Mapping[str, Any]) -> str:
    """Render an OpenAPI document."""
    info = document["info"]
    title = f"{info['title']} API {info['version']}"
    return "".join(
        (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width,initial-scale=1'>",
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>{_INTRO}<h2>Routes</h2>",
            *_routes(document["paths"]),
            "<h2>Objects</h2>",
            *_objects(document["components"]["schemas"]),
            "</body></html>",
        )
    )


def _routes(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for path, item in paths.items():
        for method, operation in item.items():
            permission = operation.get("x-permission")
            who = operation["x-who"] + (f", {permission}" if permission else "")
            body = _type(_content(operation.get("requestBody", {})))
            answer = _type(_content(next(iter(operation["responses"].values()))))
            yield (
                f"<h3 id='{escape(operation['operationId'])}'><code>{method.upper()} {escape(path)}</code>"
                f" <span class='who'>{escape(who)}</span></h3>"
                f"<p>{escape(operation.get('description', ''))}</p><p>"
                f"{f'takes {body}, ' if body else ''}answers {answer or 'nothing'}</p>"
            )
            yield from _parameters(operation.get("parameters", ()))


def _parameters(parameters: Any) -> Iterator[str]:
    asked = [one for one in parameters if one["in"] == "query"]
    if asked:
        yield "<p>query: " + ", ".join(f"<code>{escape(one['name'])}</code>" for one in asked)
        yield "</p>"


def _objects(schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, schema in schemas.items():
        about = escape(schema.get("description", ""))
        yield f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{about}</p>"
        if "enum" in schema:
            yield f"<p>{', '.join(f'<code>{escape(str(v))}</code>' for v in schema['enum'])}</p>"
        if schema.get("properties"):
            yield "<table>"
            for field, kind in schema["properties"].items():
                need = "" if field in schema.get("required", ()) else "optional"
                yield f"<tr><td><code>{escape(field)}</code></td><td>{_type(kind)}</td><td>{need}</td></tr>"
            yield "</table>"


def _content(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    for media in holder.get("content", {}).values():
        found: Mapping[str, Any] = media.get("schema", {})
        return found
    return {}


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_type(one) for one in schema[key])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    limits = [
        f"{k} {schema[k]}" for k in ("pattern", "minimum", "maximum", "maxLength") if k in schema
    ]
    shown = f" <small>{escape(', '.join(limits))}</small>" if limits else ""
    return escape(str(schema.get("type", ""))) + shown
